"""Reads pairs of sentences from files whose lines belong together: Tatoeba as LASER has it, STS 2017, STS-B.

Must not know models or metrics.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from glossa.evaluation.examples import Graded, Translation
from glossa.evaluation.readers.files import ill_formed, lines
from glossa.evaluation.readers.tables import number

MIN_STSB_COLUMNS = 7  # genre, file, year, id, grade, two sentences; some lines name their source after them


def translations(path: Path, other: Path) -> list[Translation]:
    """Return the pairs of two files with as many lines. Raises Unprocessable when they have not."""
    pairs = _pairs(path, other)
    return [Translation(text, translation) for _, text, translation in pairs]


def sts_track(path: Path, grades: Path) -> list[Graded]:
    """Return the pairs of an STS 2017 track: two sentences a line, and a file with a grade a line."""
    found = []
    for line, text, grade in _pairs(path, grades):
        cells = text.split("\t")
        if len(cells) < 2:  # noqa: PLR2004 - two sentences; some tracks name sources after them
            raise ill_formed(path, line, "got one column, expected two sentences with a tab between them")
        found.append(Graded(cells[0], cells[1], number(grades, line, grade, "grade")))
    return found


def graded_lines(path: Path) -> list[Graded]:
    """Return the pairs of a file that has two sentences and a grade a line, with tabs between them."""
    found = []
    for line, text in lines(path):
        cells = text.split("\t")
        if len(cells) != 3:  # noqa: PLR2004 - two sentences and a grade
            raise ill_formed(path, line, f"got {len(cells)} columns, expected two sentences and a grade")
        found.append(Graded(cells[0], cells[1], number(path, line, cells[2], "grade")))
    return found


def stsb(path: Path) -> list[Graded]:
    """Return the pairs of a file of the STS benchmark, which has no header."""
    found = []
    for line, text in lines(path):
        cells = text.split("\t")
        if len(cells) < MIN_STSB_COLUMNS:
            raise ill_formed(path, line, f"got {len(cells)} columns, expected {MIN_STSB_COLUMNS}, the grade the fifth")
        found.append(Graded(cells[5], cells[6], number(path, line, cells[4], "grade")))
    return found


def _pairs(path: Path, other: Path) -> Iterator[tuple[int, str, str]]:
    if not other.is_file():
        raise ill_formed(path, "beside it", f"got no {other.name}, expected it")
    first, second = list(lines(path)), list(lines(other))
    if len(first) != len(second):
        line = min(len(first), len(second)) + 1
        raise ill_formed(path, line, f"got {len(first)} lines, and {len(second)} in {other.name}, expected as many")
    for (line, text), (_, beside) in zip(first, second, strict=True):
        yield line, text, beside
