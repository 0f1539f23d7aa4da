"""Reads the committed texts as rows of token ids, for models with a vocabulary of any size.

The ids are those of a tokenizer of 32,000 pieces, spread over the vocabulary of the model. So the embedding rows they
read are as far apart as in real use. Weights are random, so only lengths and repetition matter.
"""

from __future__ import annotations

import json

from benchmarks import ROOT
from functions.tokenizers.load import load_tokenizer
from tests.data import XLMR_TOKENIZER

TOKENIZER = XLMR_TOKENIZER / "tokenizer.json"
MIXES = ("sib-mix", "short", "long")
FIRST_ID, BOS, EOS = 4, 0, 2  # ids below FIRST_ID are special tokens
MAX_TOKENS = 512


def texts_of(mix: str) -> list[str]:
    """Return the texts of a workload in the order of its file."""
    lines = (ROOT / "benchmarks" / "workloads" / f"{mix}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def rows_of(mix: str, vocab_size: int) -> list[list[int]]:
    """Return one row of ids for each text: at most 512, special tokens included."""
    encode = load_tokenizer(TOKENIZER).encode
    return [[BOS, *(_spread(i, vocab_size) for i in encode(text).ids[: MAX_TOKENS - 2]), EOS] for text in texts_of(mix)]


def _spread(token: int, vocab_size: int) -> int:
    return FIRST_ID + token * 7919 % (vocab_size - FIRST_ID - 1)
