"""Writes a catalog with one made checkpoint, as the model server and the infer function read it.

Must not know a server.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from glossa.tokenizer_build.checkpoints import artifact_of
from serve.models.checkpoint_facts import checkpoint_facts

MODEL, HEAD = "bench", "topic"
INT8 = "int8"  # the precision of a quantized model; other precisions are dtypes
LABELS = ("a", "b", "c", "d", "e", "f", "g")
ENTRY = """default_model = "{model}"
[models.{model}]
family = "{family}"
checkpoint = "{checkpoint}"
weights_sha256 = "{weights}"
tokenizer_sha256 = "{tokenizer}"
dtype = "{dtype}"
quantization = "{quantization}"
max_tokens = {max_tokens}
vocab_size = {vocab_size}
pad_id = 1
tokens_per_s = {tokens_per_s}
replicas = {{ num_cpus = 2.0 }}
[models.{model}.heads.{head}]
task = "text-classification"
prefix = "classifier"
labels = [{labels}]
default = true
"""


def write_catalog(path: Path, checkpoint: Path, *, precision: str, tokens_per_s: float = 2000.0) -> Path:
    """Write the catalog of a checkpoint to `path` and return it.

    The checkpoint has a classifier, and a tokenizer beside its weights. `precision` is a dtype or INT8.
    """
    facts = checkpoint_facts(checkpoint)
    entry = ENTRY.format(
        model=MODEL,
        head=HEAD,
        family=facts.family,
        checkpoint=checkpoint.resolve(),
        weights=facts.weights_sha256,
        tokenizer=sha256(artifact_of(checkpoint)).hexdigest(),
        **weight_format(precision),
        max_tokens=facts.max_tokens,
        vocab_size=facts.vocab_size,
        tokens_per_s=tokens_per_s,
        labels=", ".join(f'"{label}"' for label in LABELS),
    )
    path.write_text(entry, encoding="utf-8")
    return path


def weight_format(precision: str) -> dict[str, str]:
    """Return the fields `dtype` and `quantization` of a catalog entry for a precision."""
    if precision == INT8:
        return {"dtype": "bfloat16", "quantization": "onednn-int8"}
    return {"dtype": precision, "quantization": "none"}
