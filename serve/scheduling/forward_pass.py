"""Runs one forward pass of an engine, and finds the rows that break it.

When a pass raises an error, each half of its rows runs again alone. So a row that breaks a pass fails alone.
Must not know calls, queues or threads.
"""

from __future__ import annotations

from dataclasses import dataclass

from serve.engine.engine import Engine
from serve.rows.pack import Between
from serve.rows.row import Row, RowResult
from shared.errors import GlossaError
from shared.log import log_event


@dataclass(frozen=True, slots=True)
class PassResults:
    """The result of each row, in order. `n_broken` counts the passes that raised an error on the way."""

    results: list[RowResult]
    n_broken: int = 0


def run_pass(engine: Engine, rows: list[Row], between: Between | None = None) -> PassResults:
    """Run rows in one pass, or in several when the pass breaks. Raises nothing that the engine raises.

    The engine calls `between` between two layers of the first pass.
    """
    try:
        results = engine.forward(rows, between)
        if len(results) != len(rows):
            raise RuntimeError(f"got {len(results)} results for {len(rows)} rows")  # noqa: TRY301 - handled alike
    except Exception as error:  # noqa: BLE001 - whatever breaks a pass must not end the thread
        log_event("forward-pass-failed", level="error", error_type=type(error).__name__, n_rows=len(rows))
        if len(rows) == 1:
            return PassResults([GlossaError(f"the forward pass failed with {type(error).__name__}")], n_broken=1)
        half = len(rows) // 2
        first, second = run_pass(engine, rows[:half]), run_pass(engine, rows[half:])
        return PassResults(first.results + second.results, 1 + first.n_broken + second.n_broken)
    return PassResults(results)
