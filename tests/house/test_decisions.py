"""Checks the entries of `docs/decisions/`: their form, their numbers, and the places that cite them.

Each rule is a function over text. One test applies it to the repository, one to a made-up text that breaks it.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tests.house.tree import ROOT

DECISIONS = ROOT / "docs/decisions"
INDEX = DECISIONS / "README.md"
MAX_WORDS = 60
CITING = ("*.py", "*.md", "*.c", "*.h", "*.yaml")

HEADING = re.compile(r"^## D(\d+) (\S.*)$", re.MULTILINE)
META = re.compile(r"(?P<date>\S+) · (?P<status>.+)")
STATUS = re.compile(r"in force|replaced by D\d+")
CITATION = re.compile(r"(?<![\w+\\-])D(\d+)\b")  # not the code point U+D800
LINT_CODES = re.compile(r"noqa: [A-Z0-9, ]+")  # ruff has codes with the same letter
NOTE = re.compile(r"\]\((\.\./[^)#]*)#d(\d+)\)")
ROW = re.compile(r"^\| D(\d+) \| (.+) \| \[(.+)\]\((.+)\) \|$", re.MULTILINE)

GOOD = "# Decisions: words\n\n## D1 Plain words\n2026-11-29 · in force\n\nWe write plain words.\n"


@dataclass(frozen=True)
class Decision:
    """One entry: `meta` is the line under its heading, `body` all that follows."""

    number: int
    title: str
    meta: str
    body: str


def entries(text: str) -> list[Decision]:
    """Read the entries of one file in their order."""
    parts = HEADING.split(text)[1:]
    found = []
    for number, title, rest in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        meta, _, body = rest.removeprefix("\n").partition("\n")
        found.append(Decision(int(number), title, meta, body))
    return found


def undated(text: str) -> list[int]:
    """Return the numbers of entries whose second line does not begin with a date."""
    return [entry.number for entry in entries(text) if not _is_date(_meta(entry, "date"))]


def without_status(text: str) -> list[int]:
    """Return the numbers of entries that are neither in force nor replaced by another one."""
    return [entry.number for entry in entries(text) if not STATUS.fullmatch(_meta(entry, "status"))]


def wordy(text: str) -> list[tuple[int, int]]:
    """Return number and words of the entries that are longer than allowed."""
    counts = [(entry.number, len(entry.body.split())) for entry in entries(text)]
    return [(number, n_words) for number, n_words in counts if n_words > MAX_WORDS]


def misnumbered(text: str) -> list[int]:
    """Return the numbers from 1 to the highest that do not stand exactly once."""
    times = Counter(entry.number for entry in entries(text))
    return [number for number in range(1, max(times, default=0) + 1) if times[number] != 1]


def unknown_citations(text: str, known: Iterable[int]) -> list[int]:
    """Return the cited numbers that no entry has."""
    cited = {int(number) for number in CITATION.findall(LINT_CODES.sub("", text))}
    return sorted(cited - set(known))


def unlisted(index: str, files: Mapping[str, str]) -> list[int]:
    """Return the numbers that the index lists otherwise than the files have them, or only one of the two has."""
    listed = {(int(number), title, name, link) for number, title, name, link in ROW.findall(index)}
    there = {(entry.number, entry.title, name, name) for name, text in files.items() for entry in entries(text)}
    return sorted({row[0] for row in listed ^ there})


def broken_notes(text: str, folder: Path) -> list[str]:
    """Return the links to notes of measurements that lead to no heading."""
    return [f"{path}#d{number}" for path, number in NOTE.findall(text) if not _has_heading(folder / path, number)]


def _meta(entry: Decision, part: str) -> str:
    match = META.fullmatch(entry.meta)
    return match[part] if match else ""


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _has_heading(path: Path, number: str) -> bool:
    return path.is_file() and f"## D{number}" in path.read_text(encoding="utf-8").splitlines()


def _files() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(DECISIONS.glob("*.md")) if path != INDEX}


def _all_text() -> str:
    return "\n".join(_files().values())


def _citing_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *CITING],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    return [ROOT / path for path in sorted(set(listed)) if (ROOT / path).is_file()]


def test_every_entry_has_a_date() -> None:
    """The line under each heading begins with the day of the decision."""
    assert [fault for text in _files().values() for fault in undated(text)] == []


def test_a_missing_date_is_found() -> None:
    """A line without a date, and a day that does not exist, are reported."""
    assert undated(GOOD.replace("2026-11-29 · ", "")) == [1]
    assert undated(GOOD.replace("2026-11-29", "2026-11-31")) == [1]
    assert undated(GOOD) == []


def test_every_entry_has_a_status() -> None:
    """An entry is in force or names the entry that replaced it."""
    assert [fault for text in _files().values() for fault in without_status(text)] == []


def test_a_wrong_status_is_found() -> None:
    """Another word, or no status, is reported."""
    assert without_status(GOOD.replace("in force", "perhaps")) == [1]
    assert without_status(GOOD.replace(" · in force", "")) == [1]
    assert without_status(GOOD.replace("in force", "replaced by D2")) == []


def test_every_entry_is_short() -> None:
    """No entry has more than 60 words under its date."""
    assert [fault for text in _files().values() for fault in wordy(text)] == []


def test_a_long_entry_is_found() -> None:
    """The 61st word is reported, the 60th is not."""
    start = GOOD.removesuffix("We write plain words.\n")
    assert wordy(start + "word " * 61) == [(1, 61)]
    assert wordy(start + "word " * 60) == []


def test_every_number_stands_once() -> None:
    """Numbers go from 1 up, without a gap, and none is used twice."""
    assert misnumbered(_all_text()) == []


def test_a_gap_and_a_repetition_are_found() -> None:
    """A number that is missing and one that is used twice are reported."""
    assert misnumbered(GOOD + GOOD.replace("D1", "D3")) == [2]
    assert misnumbered(GOOD + GOOD) == [1]
    assert misnumbered(GOOD + GOOD.replace("D1", "D2")) == []


def test_every_cited_number_exists() -> None:
    """Code and docs cite only entries that exist."""
    known = {entry.number for entry in entries(_all_text())}
    wrong = [
        (str(path.relative_to(ROOT)), number)
        for path in _citing_files()
        for number in unknown_citations(path.read_text(encoding="utf-8"), known)
    ]
    assert wrong == []


def test_an_unknown_citation_is_found() -> None:
    """A number without an entry is reported; a code point and a code of the linter are no citations."""
    assert unknown_citations("It stays (D1, D3).", {1, 2}) == [3]
    assert unknown_citations("the surrogate U+D800  # noqa: D102 - why", {1}) == []


def test_the_index_lists_every_entry() -> None:
    """The table of the README has number, title and file of each entry."""
    assert unlisted(INDEX.read_text(encoding="utf-8"), _files()) == []


def test_an_entry_that_is_not_listed_is_found() -> None:
    """A missing row, another title and a row without an entry are reported."""
    row = "| D1 | Plain words | [words.md](words.md) |\n"
    assert unlisted("", {"words.md": GOOD}) == [1]
    assert unlisted(row.replace("Plain", "Fine"), {"words.md": GOOD}) == [1]
    assert unlisted(row, {}) == [1]
    assert unlisted(row, {"words.md": GOOD}) == []


def test_every_linked_note_exists() -> None:
    """A link to figures leads to a heading in the notes of measurements."""
    assert broken_notes(_all_text(), DECISIONS) == []


def test_a_broken_link_to_a_note_is_found(tmp_path: Path) -> None:
    """A file that is missing, and a heading that is missing, are reported."""
    folder = tmp_path / "decisions"
    folder.mkdir()
    (tmp_path / "words.md").write_text("## D1\nFigures.\n", encoding="utf-8")
    assert broken_notes("see [figures](../other.md#d1)", folder) == ["../other.md#d1"]
    assert broken_notes("see [figures](../words.md#d2)", folder) == ["../words.md#d2"]
    assert broken_notes("see [figures](../words.md#d1)", folder) == []
