"""What a labelled text is, and the error that names the rows of a file which are none.

Must not know files, tasks or models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Target = Literal["label", "labels", "grade", "spans"]  # what a row says: one label, any number, a number, entities
SHOWN_ROWS = 5  # bad rows that one error names


@dataclass(frozen=True, slots=True)
class Span:
    """An entity: code points [start, end) of the text, and its label without `B-` or `I-`."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled text, or pair of texts. `line` is where its row begins in the file, from 1.

    `labels` has one label, or any number where several may apply. `grade` is the number of a graded pair. `group`
    names what must stay on one side of a split, beside the text itself. `lang` is what the file says, or "".
    """

    line: int
    text: str
    text_pair: str | None = None
    labels: tuple[str, ...] = ()
    grade: float | None = None
    spans: tuple[Span, ...] = ()
    group: str = ""
    lang: str = ""


@dataclass(frozen=True, slots=True)
class Examples:
    """All rows of a file, in order, and what each of them says."""

    rows: tuple[Example, ...]
    target: Target


class RowError(ValueError):
    """One row that cannot be read: what came, what was expected, and a way forward. The reader adds file and line."""


def bad_rows(path: object, found: Sequence[tuple[int, str]]) -> ValueError:
    """Return the error that names bad rows of a file: the first with each reason, one a line. Nothing was trained."""
    first = {reason: line for line, reason in reversed(found)}
    shown = sorted((line, reason) for reason, line in first.items())[:SHOWN_ROWS]
    lines = [f"{path} line {line}: {reason}" for line, reason in shown]
    more = len(found) - len(lines)
    return ValueError("\n".join([*lines, *([f"{more:,} more rows like these"] if more > 0 else [])]))
