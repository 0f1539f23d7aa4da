"""Defines the table: one line for each comparison, and the count at the end.

Must not know what is compared.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass

COLUMNS = "{:<58}{:<28}{:>10} {:>10}  {}"
MARKDOWN = "| {} | {} | {} | {} | {} |"
SHOWN_CHARS = 160  # of an error text


@dataclass(frozen=True, slots=True)
class Line:
    """One comparison. With `ok` None it is S: it cannot run on this machine, and `note` says why.

    `distance` and `bound` are in the unit of the check. `precision` is a dtype, a quantization, or both.
    """

    what: str
    precision: str
    distance: float | None
    bound: float | None
    ok: bool | None
    note: str = ""


@dataclass(slots=True)
class Tally:
    """The counts of the last line."""

    n_rows: int = 0
    n_failed: int = 0
    n_skipped: int = 0

    def __str__(self) -> str:
        """Return the last line of the table."""
        return f"{self.n_rows} rows, {self.n_failed} failed, {self.n_skipped} not run"


def within(what: str, precision: str, distance: float, bound: float, note: str = "") -> Line:
    """Return a line that passes when the distance is at most the bound. Not a number fails."""
    return Line(what, precision, distance, bound, distance <= bound, note)


def skipped(what: str, precision: str, why: str) -> Line:
    """Return the line of a comparison that this machine cannot run."""
    return Line(what, precision, None, None, None, why)


def attempt(what: str, precision: str, judge: Callable[[], Line]) -> Line:
    """Return the line of `judge`. An exception becomes a line that fails, so that one fault hides no other."""
    try:
        return judge()
    except Exception as error:  # noqa: BLE001 - the table goes on, and the run fails at its end
        frame = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__}: {error} ({frame.name})".replace("\n", " ")
        return Line(what, precision, None, None, ok=False, note=said[:SHOWN_CHARS])


def show(lines: Iterable[Line], tally: Tally, write: Callable[[str], object], columns: str = COLUMNS) -> None:
    """Write the lines as they come, and count them. `columns` is COLUMNS or MARKDOWN."""
    for line in lines:
        tally.n_rows += 1
        tally.n_failed += line.ok is False
        tally.n_skipped += line.ok is None
        figures = ("-" if figure is None else f"{figure:.2e}" for figure in (line.distance, line.bound))
        said = {True: "yes", False: "NO", None: "S"}[line.ok]
        write(columns.format(line.what, line.precision, *figures, f"{said}  {line.note}".rstrip()))


def head(columns: str = COLUMNS) -> str:
    """Return the line with the names of the columns; in markdown also the one below it."""
    names = columns.format("what", "precision", "distance", "bound", "ok")
    return names if columns == COLUMNS else f"{names}\n{columns.format('---', '---', '---:', '---:', '---')}"
