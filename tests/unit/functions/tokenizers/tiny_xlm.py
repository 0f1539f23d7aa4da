"""Makes a tiny XLM tokenizer: learns a vocabulary and merges, and writes them as files that transformers reads.

It learns with plain byte pair encoding on Article 1 of the Universal Declaration of Human Rights in fifty languages and
on the committed sample of SIB-200, in lower case or as they are.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import transformers

from functions.tokenizers.xlm.words import split_words
from tests.unit.functions.tokenizers.tiny import SENTENCES

os.environ.setdefault("PYTHAINLP_READ_ONLY", "1")  # otherwise PyThaiNLP makes a folder in the home directory
ROOT = Path(__file__).parents[4]
SAMPLE = [
    line.split("\t") for line in (ROOT / "tests/data/sib200/sample.tsv").read_text(encoding="utf-8").splitlines()[1:]
]  # lang, index, text
SPECIAL = ["<s>", "</s>", "<pad>", "<unk>", *(f"<special{i}>" for i in range(10))]
LANGS = ("en", "fr", "de", "ro", "ru", "zh", "th")
RARE = 3  # characters that occur less often are left out, so that there are unknown characters


def write_tokenizer(folder: Path, *, lowercase: bool = True, n_merges: int = 400) -> Path:
    """Learn a vocabulary and write `vocab.json`, `merges.txt` and `tokenizer_config.json`; return the folder."""
    characters, merges = _learn(lowercase, n_merges)
    pieces = [*SPECIAL, *characters, *("".join(pair) for pair in merges)]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    (folder / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    (folder / "merges.txt").write_text("".join(f"{a} {b} 9\n" for a, b in merges), encoding="utf-8")
    config = {
        "tokenizer_class": "XLMTokenizer", "do_lowercase_and_remove_accent": lowercase,
        "lang2id": {lang: i for i, lang in enumerate(LANGS)}, "id2lang": dict(enumerate(LANGS)),
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "config.json").write_text('{"model_type": "xlm"}', encoding="utf-8")
    return folder


def reference_ids(reference: Any, text: str, lang: str | None = None, *, pre_split: bool = False) -> list[int]:
    """Return the ids of the reference for one text in one language, without special tokens.

    Only `_tokenize` of `XLMTokenizer` takes `lang` and `bypass_tokenizer`. A call of the tokenizer passes on neither,
    and so reads the text as English.
    """
    language: dict[str, Any] = {"lang": lang} if lang is not None else {}
    reference._tokenize = lambda chunk: type(reference)._tokenize(
        reference, chunk, bypass_tokenizer=pre_split, **language
    )
    try:
        return list(reference(text, add_special_tokens=False)["input_ids"])
    finally:
        del reference._tokenize


def load_reference(folder: Path) -> Any:
    """Load the folder with transformers. Its list of languages is removed, because it only warns about others."""
    reference = transformers.AutoTokenizer.from_pretrained(str(folder))
    reference.lang2id = None
    return reference


@cache
def _learn(lowercase: bool, n_merges: int) -> tuple[list[str], list[tuple[str, str]]]:  # noqa: FBT001 - @cache needs positional arguments
    texts = [*SENTENCES, *(text for _, _, text in SAMPLE)]
    counts = Counter(word for text in texts for word in split_words(text, "en", lowercase=lowercase))
    words = {word: [*word[:-1], word[-1] + "</w>"] for word in counts}
    counted = Counter(symbol for word, symbols in words.items() for symbol in symbols for _ in range(counts[word]))
    merges = []
    pairs = _pairs(words, counts)
    while len(merges) < n_merges and pairs:
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for word in [word for word, symbols in words.items() if best in pairwise(symbols)]:
            pairs.subtract(_pairs({word: words[word]}, counts))
            words[word] = _merge(words[word], best)
            pairs.update(_pairs({word: words[word]}, counts))
    return sorted(symbol for symbol, n in counted.items() if n >= RARE), merges


def _pairs(words: dict[str, list[str]], counts: Counter[str]) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for word, symbols in words.items():
        for pair in pairwise(symbols):
            found[pair] += counts[word]
    return found


def _merge(symbols: Iterable[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for symbol in symbols:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged
