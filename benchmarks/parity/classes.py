"""Checks every public model class of the installed transformers on small checkpoints, in each dtype.

The judges are those of the tests. A class that no judge knows is a row that fails. XLM has many switches in its
configuration. There a row is the worst result of a set in which every two choices meet.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.parity.table import Line, attempt
from tests import judge, judge_xlm
from tests.judge import Verdict


def lines() -> Iterator[Line]:
    """Judge every class that transformers publishes."""
    for kind in judge.public_classes():
        if kind in judge.CASES:
            yield from _roberta(kind)
        elif kind in judge_xlm.CASES:
            yield from _xlm(kind)
        else:
            yield Line(kind, "any", None, None, ok=False, note="a class that no judge knows")


def _roberta(kind: str) -> Iterator[Line]:
    for like in judge.likes_of(kind):
        for dtype in judge.DTYPES:
            what = f"{kind}, sized like {like}"
            yield attempt(what, dtype, partial(_judge_roberta, what, kind, like, dtype))


def _judge_roberta(what: str, kind: str, like: str, dtype: str) -> Line:
    with tempfile.TemporaryDirectory() as folder:
        return _line(what, dtype, judge.trial(kind, like, dtype, Path(folder)))


def _xlm(kind: str) -> Iterator[Line]:
    chosen = judge_xlm.choices_for(kind)
    for dtype in judge_xlm.DTYPES:
        own = [switches for switches in chosen if switches["dtype"] == dtype]
        what = f"{kind}, worst of {len(own)} settings"
        yield attempt(what, dtype, partial(_judge_xlm, what, kind, dtype, own))


def _judge_xlm(what: str, kind: str, dtype: str, chosen: Sequence[judge_xlm.Switches]) -> Line:
    verdicts = []
    for switches in chosen:
        with tempfile.TemporaryDirectory() as folder:
            verdicts.append(judge_xlm.trial(kind, switches, Path(folder)))
    return _line(what, dtype, max(verdicts, key=_badness))


def _badness(verdict: Verdict) -> tuple[bool, float]:
    return (not verdict.ok, verdict.times_bound)


def _line(what: str, precision: str, verdict: Verdict) -> Line:
    dull = verdict.spread < judge.MIN_STD
    note = f"outputs of the reference have std {verdict.spread:.2f} only" if dull else ""
    return Line(what, precision, verdict.distance, verdict.bound, verdict.ok, note)
