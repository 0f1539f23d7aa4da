"""The error of a checkpoint, the names of its files, and how its JSON files are read.

It must not know what the files mean, or where a checkpoint came from.
"""

from __future__ import annotations

import json
from pathlib import Path

from shared.errors import GlossaError

CONFIG = "config.json"
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
MODULES = "modules.json"  # of sentence-transformers: the modules of a model, with their folders
ADAPTER = "adapter_config.json"  # of peft
SPARSE = "sparse_linear.safetensors"  # the head for sparse vectors of bge-m3, made of its sparse_linear.pt
BESIDE = (
    CONFIG, "heads.json", "tokenizer.json", "tokenizer_config.json", "sentencepiece.bpe.model", SPARSE,
    "vocab.json", "merges.txt", "special_tokens_map.json", "added_tokens.json",  # the last four: XLM tokenizers
    MODULES, "sentence_bert_config.json", "config_sentence_transformers.json",
)  # fmt: skip


class CheckpointError(GlossaError):
    """A checkpoint that cannot be served: it is missing, changed, incomplete, or of an unsupported kind."""

    code = "checkpoint-error"


def read_json(path: Path) -> dict[str, object]:
    """Read a JSON object of a checkpoint. Raises CheckpointError when it is not a readable JSON object."""
    value = read_any_json(path)
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds a {type(value).__name__}, expected an object")
    return value


def read_any_json(path: Path) -> object:
    """Read a JSON file of a checkpoint. Raises CheckpointError when it is not readable JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from None
