"""BERT bodies with the tokenizer of XLM-RoBERTa, such as multilingual-e5-small and Multilingual-MiniLM.

It follows BertModel of `transformers` (Devlin et al. 2019): the layers of XLM-RoBERTa, with positions that count every
token from 0. BERTs with a WordPiece tokenizer are refused, because no tokenizer here reads their texts. This module
must not know how rows were chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from serve.checkpoints.read import CheckpointError, read_json
from serve.layers.parts import ModelParts
from serve.models import bert_heads
from serve.models.bert_heads import PREFIX, build_head, head_shapes
from serve.models.checkpoint_heads import Shapes
from serve.models.config_checks import check_sizes, parse_config
from serve.models.roberta_heads import WORDS
from serve.models.xlm_roberta import (
    ONLY,
    POSITIVE,
    UNUSED,
    Encoder,
    backbone_limits,
    computed,
    expected_shapes,
    is_causal,
    lang2id,
    rules,
    vocab_size,
    width,
)
from serve.rows.pack import NO_PAD
from shared.catalog import Family, Head

__all__ = [  # what this family shares with XLM-RoBERTa, as family.Family names it
    "PREFIX", "UNUSED", "WORDS", "backbone_limits", "build_head", "computed", "expected_shapes", "head_shapes",
    "is_causal", "lang2id", "rules", "vocab_size", "width",
]  # fmt: skip

FAMILY: Family = "bert"
OTHER_HEADS = ("classifier.", "cls.", "qa_outputs.", "heads.")
UNIGRAM = "Unigram"  # the kind of XLM-R's tokenizer, as tokenizer.json names it
SENTENCEPIECE = "sentencepiece.bpe.model"


def check_config(raw: Mapping[str, Any], *, is_known: bool = False) -> Any:
    """Return the configuration of a checkpoint that we can serve exactly. `raw` is its config.json.

    `is_known` says that transformers has read it before. Raises CheckpointError that names the setting for which our
    answers would be wrong.
    """
    config = parse_config("BertConfig", raw, ONLY, is_known=is_known)
    check_sizes(config, POSITIVE)
    return config


def max_tokens(config: Any) -> int:
    """Return the number of tokens of the longest row, special tokens included: one for each position."""
    return int(config.max_position_embeddings)


def pad_id(config: Any) -> int:
    """Return the pad id of a configuration. No answer depends on it: rows are not padded, and positions count it."""
    return int(config.pad_token_id or 0)


def find_heads(folder: Path, config: Any, shapes: Shapes) -> dict[str, Head]:
    """Return the heads of a checkpoint by name. Raises CheckpointError when its tokenizer is not that of XLM-R."""
    check_tokenizer(folder)
    return bert_heads.find_heads(folder, config, shapes)


def build_encoder(config: Any, tensors: Mapping[str, Tensor], parts: ModelParts) -> Encoder:
    """Make an encoder from tensors named as in BertModel. It keeps their dtype and device."""
    return Encoder(config, tensors, parts, pad_id=NO_PAD).eval()


def check_tokenizer(folder: Path) -> None:
    """Raise CheckpointError when the files of a folder are those of another tokenizer than XLM-R's.

    A folder without any tokenizer passes: whoever makes the tokenizer says so.
    """
    if (folder / "tokenizer.json").is_file():
        model = read_json(folder / "tokenizer.json").get("model")
        kind = model.get("type", UNIGRAM) if isinstance(model, Mapping) else UNIGRAM
        found = f"a {kind} tokenizer in tokenizer.json"
    else:
        kind = "WordPiece" if (folder / "vocab.txt").is_file() and not (folder / SENTENCEPIECE).is_file() else UNIGRAM
        found = "a WordPiece tokenizer in vocab.txt"
    if kind != UNIGRAM:
        raise CheckpointError(
            f"got a BERT with {found}, expected the tokenizer of XLM-R (Unigram, from {SENTENCEPIECE})",
            hint="Glossa serves XLM-RoBERTa, and of the BERTs those with its tokenizer: multilingual-e5-small, "
            "paraphrase-multilingual-MiniLM-L12-v2, Multilingual-MiniLM-L12-H384",
        )
