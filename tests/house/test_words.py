"""Words that had a meaning of our own: they are gone from code, docs and tests.

The rule is a function over texts. It finds a word in prose and as a part of a name, such as `open_doors` or `Doors`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.house.tree import ROOT, tracked

# the old word, as a pattern: what to say now
OLD_WORDS = {
    "doors?": "handler, or adapter of an AWS service",
    "desks?": "stage, pipeline",
    "lanes?": "size class, or parallel pass",
    "ledgers?": "queries",
    "settl(?:e|es|ed|er|ers|ing)": "commit",
    "tickets?": "pending call",
    "guests?": "interleaved row",
    "laying": "alignment",
    "spare rows?": "padding row",
    "stored small": "quantized",
}
SUFFIXES = (".py", ".md", ".yaml", ".toml", ".c", ".h", ".in", "Makefile")
DATA = ("benchmarks/workloads/", "tests/house/test_words.py")
# the name: why it stays
STORED_NAMES = {"settled_ms": "an attribute of items in the table"}
# path or folder: (old word, why it stays)
ALLOWED = {
    "CHANGELOG.md": (None, "it lists old names beside new ones"),
    "shared/catalog.py": ("lanes?", "catalogs of before have this key"),
    "tests/unit/shared/": ("lanes?", "tests of that key"),
    "functions/http/text_json.py": ("lanes?", "a key of GET /v1/models that callers read"),
    "functions/http/openapi/model_answers.py": ("lanes?", "the type of that answer"),
    "tests/unit/functions/http/": ("lanes?", "tests of that key"),
    "glossa/commands/catalog/": ("lanes?", "an option that scripts may still give"),
    "glossa/commands/models.py": ("lanes?", "a key that scripts read"),
    "tests/unit/glossa/": ("lanes?", "tests of that option"),
}
WORD_START = r"(?:(?<![A-Za-z])|(?<=[a-z])(?=[A-Z]))"
PATTERNS = {word: re.compile(f"{WORD_START}(?i:{word})(?![a-z])") for word in OLD_WORDS}


def old_words(texts: Mapping[str, str]) -> list[str]:
    """Return `path:line: word` for each old word that is not allowed where it stands."""
    return [
        f"{path}:{number}: {match[0]}"
        for path, text in texts.items()
        for pattern in _patterns_of(path, text)
        for number, line in enumerate(text.splitlines(), 1)
        for match in pattern.finditer(_without_stored_names(line))
    ]


def _patterns_of(path: str, text: str) -> list[re.Pattern[str]]:
    """Return the patterns that the text holds and that are not allowed in the file."""
    return [pattern for word, pattern in PATTERNS.items() if pattern.search(text) and not _is_allowed(path, word)]


def _is_allowed(path: str, word: str) -> bool:
    return any(path.startswith(place) and known in (None, word) for place, (known, _) in ALLOWED.items())


def _without_stored_names(line: str) -> str:
    for name in STORED_NAMES:
        line = line.replace(name, "")
    return line


def _texts() -> dict[str, str]:
    paths = [path for path in tracked() if path.endswith(SUFFIXES) and not path.startswith(DATA)]
    return {path: (ROOT / path).read_text(encoding="utf-8") for path in paths}


def test_an_old_word_is_found() -> None:
    """A word is reported in prose, in a name with underscores and in the name of a class."""
    text = "# The Door opens.\nn_lanes = 2\nclass MemoryDoors: ...\nledger = 1\n"
    assert old_words({"serve/a.py": text}) == [
        "serve/a.py:1: Door",
        "serve/a.py:3: Doors",
        "serve/a.py:2: lanes",
        "serve/a.py:4: ledger",
    ]


def test_words_that_only_look_alike_are_free() -> None:
    """A longer word, a stored name and an allowed place are not reported."""
    assert old_words({"serve/a.py": "planes = outdoors = 1\njob.settled_ms\n"}) == []
    assert old_words({"shared/catalog.py": "lane = 1\n"}) == []
    assert old_words({"shared/catalog.py": "door = 1\n"}) == ["shared/catalog.py:1: door"]


def test_old_words_are_gone() -> None:
    """Code, docs and tests say things by the terms of the field."""
    assert old_words(_texts()) == []
