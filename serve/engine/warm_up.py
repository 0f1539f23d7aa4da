"""Warms an engine up: every head answers once, then one pass is timed.

A replica does this before it is ready; the command line measures the speed of a model with it. This module must not
know Ray, the scheduler or the catalog file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice

from serve.engine.engine import Engine
from serve.rows.row import Row, row_of
from shared.catalog import Model
from shared.errors import GlossaError
from shared.messages import Sampling

MAX_PASSES, BUDGET_S = 10, 5.0


def probe_row(model: Model, head: str) -> Row:
    """Return the smallest row that a head answers in one pass: one token."""
    return _row_of(model, head, 1)


def warm_up(engine: Engine) -> float:
    """Let every head answer, then time a pass over one row of the maximum length. Return its tokens per second.

    Raises the error of a head that does not answer.
    """
    return next(_timed_passes(engine))


def best_speed(
    engine: Engine, on_pass: Callable[[int, float], object], *, n_passes: int = MAX_PASSES, budget_s: float = BUDGET_S
) -> float:
    """Warm up as a replica does, then time more passes. Return the tokens per second of the fastest.

    It makes at most `n_passes`, and none after `budget_s` seconds except the second. `on_pass` is told the number of
    passes and the best speed so far. Raises the error of a head that does not answer.
    """
    started_s, best = time.perf_counter(), 0.0
    for number, speed in enumerate(islice(_timed_passes(engine), n_passes), 1):
        best = max(best, speed)
        on_pass(number, best)
        if number > 1 and time.perf_counter() - started_s > budget_s:
            break
    return best


def _timed_passes(engine: Engine) -> Iterator[float]:
    """Let every head answer and make a pass, then yield the tokens per second of each further pass."""
    model = engine.model
    for result in [engine.forward([probe_row(model, head)])[0] for head in model.heads]:
        if isinstance(result, GlossaError):
            raise result
    n_tokens = (
        min(model.max_tokens, model.token_budget) - 1
    )  # one token is left for the mask that a generating XLM head appends
    longest = _row_of(model, next(iter(model.heads)), n_tokens)
    engine.forward([longest])
    while True:
        started_s = time.perf_counter()
        engine.forward([longest])
        yield n_tokens / max(time.perf_counter() - started_s, 1e-6)


def _row_of(model: Model, head: str, n_tokens: int) -> Row:
    task = model.heads[head].task
    sampling = Sampling(max_new_tokens=1) if task == "text-generation" else None
    return row_of([0] * n_tokens, head, positions=(0,) if task == "fill-mask" else (), sampling=sampling)
