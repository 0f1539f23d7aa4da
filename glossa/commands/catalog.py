"""`glossa catalog add` and `refresh`: a checkpoint folder -> what the catalog says of it.

The facts come from `serve.models.checkpoint_facts`, which reads configuration and tensor headers, no weights; the speed
comes from the engine itself, by the pass with which a replica warms up.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from functions.tokenizers.load import read_tokenizer
from functions.tokenizers.tokenizer import Tokenizer
from glossa.commands import catalog_file
from glossa.tokenizer_build.checkpoints import artifact_of, check_like_reference, folder_of
from shared.catalog import AttnImplementation, Dtype, Head, Model, Quantization, load_catalog

if TYPE_CHECKING:
    from serve.models.checkpoint_facts import CheckpointFacts

STORED = ("dtype", "quantization", "int8_embeddings", "attn_implementation")  # how the model is kept and computed


@dataclass(frozen=True, slots=True)
class EntryOptions:
    """What a caller says about the entry beside the checkpoint; empty means: as found, measured, or the default.

    Of `dtype`, `quantization`, `int8_embeddings` and `attn_implementation` only what is no default is written.
    """

    name: str
    heads: Sequence[str] = ()
    defaults: Sequence[str] = ()
    tokens_per_s: float | None = None
    lane: str | None = None
    languages: str | None = None
    dtype: Dtype = "float32"
    quantization: Quantization = "none"
    int8_embeddings: bool = False
    attn_implementation: AttnImplementation = "auto"


def add(path: Path, reference: str, options: EntryOptions) -> str:
    """Describe a checkpoint, append its entry to the catalog at `path` and return the entry.

    Its `tokens_per_s` is the caller's, else measured here. Raises ValueError or CheckpointError when it cannot be
    served exactly, or the name is taken.
    """
    from serve.models.checkpoint_facts import checkpoint_facts  # noqa: PLC0415 - imports torch, which other commands do not need

    remote = reference.startswith(("s3:", "hub:"))
    folder = folder_of(reference, path.parent if remote else Path())
    facts = checkpoint_facts(folder)
    tokenizer = read_tokenizer(artifact_of(folder))
    if tokenizer.vocab_size > facts.vocab_size:
        raise ValueError(f"the tokenizer has {tokenizer.vocab_size} ids, the model rows for {facts.vocab_size}")
    check_like_reference(tokenizer, folder)
    checkpoint = reference if remote else _relative(folder, path.parent)
    said, heads = _facts(facts, checkpoint, tokenizer, options), choose_heads(facts.heads, options)
    catalog_file.check_free(path, options.name)
    model = catalog_file.parse_entry(options.name, catalog_file.entry_text(options.name, said, heads))
    said["tokens_per_s"] = options.tokens_per_s or _measure_or_hint(model, path.parent)
    entry = catalog_file.entry_text(options.name, said, heads)
    catalog_file.append(path, options.name, entry)
    return entry


def refresh(path: Path, name: str, tokens_per_s: float | None = None) -> list[str]:
    """Rewrite a model's two digests and its speed from its checkpoint; return the names of those that changed.

    The speed is `tokens_per_s`, else measured here. Raises CheckpointError when the catalog entry no longer fits.
    """
    from serve.checkpoints.verify import weights_sha256  # noqa: PLC0415 - imports torch, likewise

    model = load_catalog(path).model(name)
    folder = folder_of(model.checkpoint, path.parent)
    digests = {"weights_sha256": weights_sha256(folder), "tokenizer_sha256": sha256(artifact_of(folder)).hexdigest()}
    speed = tokens_per_s or measure_speed(model.model_copy(update=digests), path.parent)
    return catalog_file.rewrite(path, name, {**digests, "tokens_per_s": speed})


def measure_speed(model: Model, root: Path) -> float:
    """Return the tokens per second of one replica on this machine, to two digits; `root` is the catalog's folder.

    Takes the threads that a replica may take. Raises CheckpointError, or the error of a head that does not answer.
    """
    import torch  # noqa: PLC0415 - these three load torch, likewise

    from serve.engine.load_engine import load_engine  # noqa: PLC0415 - likewise
    from serve.engine.warm_up import warm_up  # noqa: PLC0415 - likewise

    before = torch.get_num_threads()
    torch.set_num_threads(model.n_threads)
    try:
        return float(f"{warm_up(load_engine(model, root)):.2g}")
    finally:
        torch.set_num_threads(before)


def _measure_or_hint(model: Model, root: Path) -> float:
    from serve.checkpoints.read import CheckpointError  # noqa: PLC0415 - imports torch, likewise

    try:
        return measure_speed(model, root)
    except CheckpointError as error:
        hint = "say --tokens-per-s to add what this machine cannot run for machines that can"
        raise CheckpointError(error.message, hint=error.hint or hint) from error


def choose_heads(found: Mapping[str, Head], options: EntryOptions) -> dict[str, Head]:
    """Return the heads to serve, by name or by task, each task's default marked: the named one, else the first.

    Raises ValueError for a name that is neither.
    """
    known = set(found) | {task for head in found.values() for task in head.tasks}
    if strange := [name for name in (*options.heads, *options.defaults) if name not in known]:
        raise ValueError(f"got head {strange[0]!r}, expected one of {sorted(found)} or their tasks")
    kept = {name: head for name, head in found.items() if not options.heads or {name, *head.tasks} & set(options.heads)}
    first = {head.task: name for name, head in reversed(kept.items())}
    first |= {kept[name].task: name for name in options.defaults if name in kept}
    return {name: head.model_copy(update={"default": first[head.task] == name}) for name, head in kept.items()}


def _facts(
    facts: CheckpointFacts, checkpoint: str, tokenizer: Tokenizer, options: EntryOptions
) -> dict[str, catalog_file.Value]:
    mask = facts.mask_token or tokenizer.mask_token
    said: dict[str, catalog_file.Value | None] = {
        "family": facts.family,
        "checkpoint": checkpoint,
        "weights_sha256": facts.weights_sha256,
        "tokenizer_sha256": tokenizer.fingerprint,
        "size_class": options.lane,
        **{name: value for name in STORED if (value := getattr(options, name)) != Model.model_fields[name].default},
        "max_tokens": facts.max_tokens,
        "vocab_size": facts.vocab_size,
        "pad_id": facts.pad_id,
        "mask_id": tokenizer.id_of(mask) if mask is not None else None,
        "mask_token": mask,
        "bos_id": facts.bos_id,
        "eos_id": facts.eos_id,
        "causal": facts.causal or None,
        "lang2id": facts.lang2id or None,
        "languages": options.languages,
    }
    return {key: value for key, value in said.items() if value is not None}


def _relative(folder: Path, root: Path) -> str:
    """Return a folder as the catalog writes it: relative where it lies below the catalog, else absolute."""
    found = os.path.relpath(folder.resolve(), root.resolve())
    return str(folder.resolve()) if found.startswith("..") else Path(found).as_posix()
