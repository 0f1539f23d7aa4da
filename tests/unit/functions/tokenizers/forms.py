"""Writes a tokenizer of XLM-R's rules in the forms that public checkpoints have, with a part of its vocabulary.

Each form is a folder without weights. Must not know which forms are accepted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import tokenizers

from tests.data import XLMR_TOKENIZER

N_PIECES = 3000
METASPACE = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
SPLIT = {"type": "WhitespaceSplit"}
PUNCTUATION = {"type": "Punctuation", "behavior": "Isolated"}
ONE_SPACE = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
STRIP = {"type": "Strip", "strip_left": True, "strip_right": True}
PADDING = {
    "strategy": {"Fixed": 16}, "direction": "Right", "pad_to_multiple_of": None,
    "pad_id": 1, "pad_type_id": 0, "pad_token": "<pad>",
}  # fmt: skip
TRUNCATION = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}
OURS, KEPT = "XLMRobertaTokenizer", "PreTrainedTokenizerFast"
HARD = (
    "hello ", "x </s> y<s>", "\u200b\u200b", "   ", "", "Hello  world", "a\u00a0\u00a0b\u3000c ", "a <mask> b<mask>.",
    " don't-stop,now (1990) ", "\u3000Anna\nBerlin\t", "<mask> \u200bx\u200b ", "a\u0301 \u0301 b", "\x1f a\x1f \x0bb",
)  # fmt: skip


@cache
def _whole() -> str:
    rules = json.loads((XLMR_TOKENIZER / "tokenizer.json").read_text(encoding="utf-8"))
    rules["model"]["vocab"] = [*rules["model"]["vocab"][:N_PIECES], ["<mask>", 0.0]]
    rules["added_tokens"][-1]["id"] = N_PIECES
    return json.dumps(rules)


def rules(**changes: object) -> dict[str, Any]:
    """Return the rules of XLM-R with changes."""
    found: dict[str, Any] = json.loads(_whole())
    return found | changes


def normalizers(*before: Mapping[str, Any], after: tuple[Mapping[str, Any], ...] = ()) -> dict[str, Any]:
    """Return XLM-R's normalizer with others before and after it."""
    return {"type": "Sequence", "normalizers": [*before, json.loads(_whole())["normalizer"], *after]}


def split(*rules: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sequence of pre-tokenizers."""
    return {"type": "Sequence", "pretokenizers": list(rules)}


def like_e5() -> dict[str, Any]:
    """Return the rules of E5 and BGE: several spaces are one, and Metaspace alone in its older spelling."""
    old = {"type": "Metaspace", "replacement": "\u2581", "add_prefix_space": True}
    return rules(normalizer=normalizers(after=(ONE_SPACE,)), pre_tokenizer=old)


def write(
    folder: Path,
    stored: Mapping[str, Any] | None,
    tokenizer_config: Mapping[str, Any] | None,
    /,
    **files: object,
) -> Path:
    """Write a folder with `tokenizer.json`, `tokenizer_config.json`, and other JSON files by their stem.

    Without `stored`, the folder has only the SentencePiece model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {"config": {"model_type": "xlm-roberta"}} | files
    if stored is None:
        (folder / "sentencepiece.bpe.model").write_bytes((XLMR_TOKENIZER / "sentencepiece.bpe.model").read_bytes())
    else:
        files["tokenizer"] = stored
    if tokenizer_config is not None:
        files["tokenizer_config"] = tokenizer_config
    for stem, content in files.items():
        (folder / f"{stem}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def ids_by(stored: Mapping[str, Any], texts: tuple[str, ...] = HARD) -> list[list[int]]:
    """Return the ids, special ones included, that the library gives by exactly the stored rules."""
    library = tokenizers.Tokenizer.from_str(json.dumps(dict(stored) | {"padding": None, "truncation": None}))
    return [library.encode(text).ids for text in texts]
