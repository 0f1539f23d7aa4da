"""Where the files are that tests and benchmarks read. Must not import Glossa: recording environments read it too."""

from __future__ import annotations

from pathlib import Path

# A tokenizer of 32,000 pieces with the rules of XLM-R itself, in both kinds of file; SOURCE.md says where it is from.
XLMR_TOKENIZER = Path(__file__).parent / "xlmr_tokenizer"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
N_PIECES = 32_000
