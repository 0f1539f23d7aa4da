"""Token ids of our tokenizers against the reference's, on every text of a folder.

    python -m benchmarks.parity_tokenizers --data FOLDER [--limit N]

Reads .tsv, .jsonl, .json, .conll and .txt files, each also .xz, as a stream: cells, strings, sentences, lines. Judged:
mini's `tokenizer.json`, mini's `sentencepiece.bpe.model`, and XLM vocabularies learnt here, with and without
lowercasing, each text in its language where the data names it. One line each; exit status 1 when an id differs.
"""

from __future__ import annotations

import argparse
import json
import lzma
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import transformers
from transformers.utils import logging as transformers_logging

from functions.pipeline.tokenize import Tokenizer, read_tokenizer
from glossa.checkpoints import artifact_of
from tests.unit.functions.pipeline import tiny_xlm

MINI = Path(__file__).parents[1] / "checkpoints" / "mini"
NOT_DATA = re.compile(r"^(LICENSE|SOURCE|README)|^labels\.txt$|licences")
CODE = re.compile(r"^([a-z]{3})_[A-Z][a-z]{3}$")  # a language as FLORES-200 names it
LANGS = {
    "eng": "en", "fra": "fr", "deu": "de", "spa": "es", "ita": "it", "ron": "ro", "rus": "ru", "zho": "zh", "tha": "th",
    "ces": "cs", "kor": "ko", "fin": "fi", "ell": "el", "hin": "hi", "tam": "ta", "nld": "nl", "pol": "pl", "arb": "ar",
}  # fmt: skip
BATCH_TEXTS = 256
SHORT_CHARS = 24  # texts up to this length are read once, not each time they come
MAX_SEEN = 200_000
Text = tuple[str, str | None]  # and its language, where the data names it
Ids = Callable[[Sequence[Text]], list[list[int]]]


@dataclass(slots=True)
class Contest:
    """One tokenizer against the reference: what was read, and how many texts got other ids."""

    name: str
    ours: Ids
    theirs: Ids
    n_texts: int = 0
    n_chars: int = 0
    n_mismatches: int = 0
    first: str = ""

    def read(self, texts: Sequence[Text]) -> None:
        """Compare the ids of some texts."""
        for (text, lang), mine, wanted in zip(texts, self.ours(texts), self.theirs(texts), strict=True):
            self.n_texts += 1
            self.n_chars += len(text)
            if mine != wanted:
                self.n_mismatches += 1
                self.first = self.first or f"  first: {text[:60]!a} ({lang})"

    def __str__(self) -> str:
        """Say it in one line."""
        counts = f"{self.n_texts:>9} texts {self.n_chars:>11} characters {self.n_mismatches:>6} mismatches"
        return f"{self.name:<38} {counts}{self.first}"


def judge(texts: Iterable[Text]) -> list[Contest]:
    """Read all texts with every tokenizer and with its reference, in batches; return the counts."""
    stream = iter(texts)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        contests = [*_mini_kinds(folder), *_xlm_kinds(folder)]
        while batch := list(islice(stream, BATCH_TEXTS)):
            for contest in contests:
                contest.read(batch)
    return contests


def texts_under(data: Path) -> Iterator[Text]:
    """Yield every text below a folder with its language or None; short ones that come again are passed over."""
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
    """Yield the strings of a JSON value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)


def _mini_kinds(root: Path) -> Iterator[Contest]:
    for name in ("tokenizer.json", "sentencepiece.bpe.model"):
        folder = root / name
        folder.mkdir()
        shutil.copy(MINI / name, folder)
        (folder / "config.json").write_text('{"model_type": "xlm-roberta"}', encoding="utf-8")
        reference = transformers.AutoTokenizer.from_pretrained(str(folder))
        yield Contest(f"XLM-R, {name}", _ours(read_tokenizer(artifact_of(folder))), _batched(reference))


def _xlm_kinds(root: Path) -> Iterator[Contest]:
    for lowercase in (True, False):
        folder = root / f"xlm-{lowercase}"
        folder.mkdir()
        tiny_xlm.write_tokenizer(folder, lowercase=lowercase)
        theirs = _one_by_one(tiny_xlm.load_reference(folder))
        name = f"XLM, vocab.json + merges.txt, {'lowercase' if lowercase else 'as it is'}"
        yield Contest(name, _ours(read_tokenizer(artifact_of(folder))), theirs)


def _ours(tokenizer: Tokenizer) -> Ids:
    return lambda texts: [list(tokenizer.encode(text, lang).ids) for text, lang in texts]


def _batched(reference: Any) -> Ids:
    return lambda texts: reference([text for text, _ in texts], add_special_tokens=False)["input_ids"]


def _one_by_one(reference: Any) -> Ids:
    return lambda texts: [tiny_xlm.reference_ids(reference, text, lang) for text, lang in texts]


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge the folder asked for, print a line for each tokenizer, return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--limit", type=int, default=None, metavar="N", help="read the first N texts only")
    asked = parser.parse_args(arguments)
    if not asked.data.is_dir():
        parser.error(f"got {asked.data}, expected a folder")
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call] # transformers types it nowhere
    contests = judge(islice(texts_under(asked.data), asked.limit))
    for contest in contests:
        print(contest)
    return 1 if any(contest.n_mismatches or not contest.n_texts for contest in contests) else 0


if __name__ == "__main__":
    sys.exit(main())
