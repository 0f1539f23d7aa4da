"""Draws how far a run of lines is: lines, rate and, where the size of the input is known, the time left.

It is drawn on a terminal alone. Must not know what the lines are.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    """Takes the number of lines that were answered, and of the bytes that they had."""

    def __call__(self, n_lines: int, n_bytes: int) -> None:
        """Draw it."""
        ...


@contextmanager
def run_progress(total_bytes: int | None, *, shown: bool | None = None) -> Iterator[Advance]:
    """Yield what draws progress on standard error.

    By default it draws when standard error is a terminal and standard output is not: answers would break the bar.
    """
    if not (sys.stderr.isatty() and not sys.stdout.isatty() if shown is None else shown):
        yield lambda n_lines, n_bytes: None  # noqa: ARG005 - as Advance names them
        return
    from rich.console import Console  # noqa: PLC0415 - takes 50 ms, and a pipe does not need it
    from rich.progress import (  # noqa: PLC0415 - as above
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    texts = TextColumn("{task.fields[lines]:,} lines"), BarColumn(), TextColumn("{task.fields[rate]:,.0f} lines/s")
    times = (TimeElapsedColumn(), *([TextColumn("left"), TimeRemainingColumn()] if total_bytes else []))
    with Progress(*texts, *times, console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=total_bytes or None, lines=0, rate=0.0)

        def advance(n_lines: int, n_bytes: int) -> None:
            [task] = progress.tasks
            answered = task.fields["lines"] + n_lines
            rate = answered / task.elapsed if task.elapsed else 0.0
            progress.update(bar, advance=n_bytes, lines=answered, rate=rate)

        yield advance
