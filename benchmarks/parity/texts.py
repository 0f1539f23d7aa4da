"""Reads every text of a folder: cells, strings, sentences and lines of its files, with the language where it is named.

Reads .tsv, .jsonl, .json, .conll and .txt files, each also as .xz, as a stream. Must not know what uses the texts.
"""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

NOT_DATA = re.compile(r"^(LICENSE|SOURCE|README)|^labels\.txt$|licences")
CODE = re.compile(r"^([a-z]{3})_[A-Z][a-z]{3}$")  # the name of a language in FLORES-200
LANGS = {
    "eng": "en", "fra": "fr", "deu": "de", "spa": "es", "ita": "it", "ron": "ro", "rus": "ru", "zho": "zh", "tha": "th",
    "ces": "cs", "kor": "ko", "fin": "fi", "ell": "el", "hin": "hi", "tam": "ta", "nld": "nl", "pol": "pl", "arb": "ar",
}  # fmt: skip
SHORT_CHARS = 24  # texts up to this length are yielded only once
MAX_SEEN = 200_000
Text = tuple[str, str | None]  # and its language where the data names it, else None


def texts_under(data: Path) -> Iterator[Text]:
    """Yield every text below a folder with its language or None. A short text that comes again is left out."""
    seen: set[str] = set()
    for path in sorted(data.rglob("*")):
        if not path.is_file() or any(NOT_DATA.search(part) for part in path.relative_to(data).parts):
            continue
        usual = next((part for part in path.name.split(".") if part in LANGS.values()), None)
        for text, lang in _texts_of(path):
            if len(text) <= SHORT_CHARS:
                if text in seen:
                    continue
                if len(seen) < MAX_SEEN:
                    seen.add(text)
            yield text, lang or usual


def _texts_of(path: Path) -> Iterator[Text]:
    name = path.name.removesuffix(".xz")
    with _opened(path) as file:
        if name.endswith(".json"):
            yield from ((text, None) for text in _strings(json.load(file)))
            return
        for line in file:
            if name.endswith(".jsonl"):
                yield from ((text, None) for text in _strings(json.loads(line)))
                continue
            cells = [cell for cell in line.rstrip("\n").split("\t") if cell]
            codes = [found[1] for cell in cells if (found := CODE.match(cell))]
            yield from ((cell, LANGS.get(codes[0]) if codes else None) for cell in cells)


def _opened(path: Path) -> TextIO:
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding="utf-8", newline="\n")
    return path.open(encoding="utf-8", newline="\n")


def _strings(value: object) -> Iterator[str]:
    """Yield all strings of a JSON value, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)
