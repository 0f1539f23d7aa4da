"""The error of a checkpoint, the names of its files, and how its JSON files are read.

It must not know what the files mean, or where a checkpoint came from.
"""

from __future__ import annotations

import json
from pathlib import Path

from serve.checkpoints.broken_files import what_is
from shared.error_text import kind
from shared.errors import GlossaError

CONFIG = "config.json"
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
MODULES = "modules.json"  # of sentence-transformers: the modules of a model, with their folders
ADAPTER = "adapter_config.json"  # of peft
SPARSE = "sparse_linear.safetensors"  # the head for sparse vectors of bge-m3, made of its sparse_linear.pt
HEAD = "head.safetensors"  # the tensors of a head that was trained apart, in a folder of its own
PICKLE, PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
HEADS = "heads.json"  # of checkpoints with several heads
PROMPTS = "config_sentence_transformers.json"
# The longest text of a transformer; sentence-transformers had a name for each architecture once, and reads the first
WINDOWS = (
    "sentence_bert_config.json", "sentence_roberta_config.json", "sentence_distilbert_config.json",
    "sentence_camembert_config.json", "sentence_albert_config.json", "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)  # fmt: skip
DECLARING = (HEADS, MODULES, *WINDOWS, PROMPTS)  # files that say how the weights are used, as CONFIG does
BESIDE = (
    CONFIG, *DECLARING, "tokenizer.json", "tokenizer_config.json", "sentencepiece.bpe.model", SPARSE,
    "vocab.json", "merges.txt", "special_tokens_map.json", "added_tokens.json",  # the last four: XLM tokenizers
)  # fmt: skip
WRITE = "write it again as JSON in UTF-8 without a byte order mark, or take it from the checkpoint's source"


class CheckpointError(GlossaError):
    """A checkpoint that cannot be served: it is missing, changed, incomplete, or of an unsupported kind."""

    code = "checkpoint-error"


def read_json(path: Path) -> dict[str, object]:
    """Read a JSON object of a checkpoint. Raises CheckpointError when it is not a readable JSON object."""
    value = read_any_json(path)
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds {kind(value)}, expected an object")
    return value


def read_any_json(path: Path) -> object:
    """Read a JSON file of a checkpoint. Raises CheckpointError when it is not there, or not readable JSON."""
    if not path.is_file():
        raise CheckpointError(f"{path.parent} holds no {path.name}, expected one{_link(path)}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        what, advice = what_is(path) or (f"cannot be read as JSON: {error}", WRITE)
        raise CheckpointError(f"{path} {what}, expected JSON", hint=advice) from None


def _link(path: Path) -> str:
    return f"; it is a link to {path.readlink()}, which is not there" if path.is_symlink() else ""
