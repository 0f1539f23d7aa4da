"""Callers of a stack whose model server is killed, stopped or cut off get right answers or errors, and never hang.

`make chaos` does this to a whole local stack, and holds it to times. Here no time is held to, but that it ends.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from dataclasses import replace

import pytest

from benchmarks.chaos.figures import Figures, figures
from benchmarks.chaos.load import Corpus, told_apart
from benchmarks.chaos.run_scenario import run
from benchmarks.chaos.scenarios import scenario
from tests.chaos.small_stack import FUNCTION_S, SmallStack
from tests.unit.functions.http.world import make, post

CALM_S, AFTER_S, WARM_S = 2.0, 13.0, 1.0  # after a fault, a circuit breaker that is open may stay so for 10 s
MACHINE_S = 10.0  # that a busy machine may take besides
TEXTS = [f"{word} {n}" for n in range(12) for word in ("rain", "Wahl", "война", "天气", "mvua")]


@pytest.fixture(scope="module")
def stack() -> Iterator[SmallStack]:
    """Start the small stack."""
    with SmallStack().running() as running:
        yield running


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """Return texts whose answers cannot be taken for each other's, with the answers of the pipeline in this process."""
    api = make()
    scores = []
    for text in TEXTS:
        asked = {"inputs": text, "model": "mini:topic", "parameters": {"top_k": None}}
        status, body, _ = post(api, "text-classification", asked)
        assert status == 200, json.dumps(body)
        scores.append({entry["label"]: entry["score"] for entry in body["results"][0]})
    places = told_apart(scores)
    assert len(places) >= 5
    return Corpus("mini:topic", [TEXTS[place] for place in places], [scores[place] for place in places])


def _seen(stack: SmallStack, corpus: Corpus, name: str, seconds: float) -> Figures:
    chosen = replace(scenario(name, seconds), calm_s=CALM_S, after_s=AFTER_S, per_s=10.0)
    return figures(asyncio.run(run(stack, chosen, corpus, say=lambda _: None, warm_s=WARM_S)))


@pytest.mark.parametrize(("name", "seconds"), [("kill-only-replica", 2.0), ("stall-replica", 3.0)])
def test_callers_get_right_answers_or_errors_and_never_hang(
    stack: SmallStack, corpus: Corpus, name: str, seconds: float
) -> None:
    """No answer is wrong or another text's, no request outlives its function, and the service comes back."""
    found = _seen(stack, corpus, name, seconds)
    assert found.n_wrong == 0
    assert found.slowest_request_s < FUNCTION_S + MACHINE_S
    assert found.recover_s is not None
    assert found.recover_s < math.inf
    assert found.success > 0.3  # of a run that is mostly calm
    assert found.amplification is not None
    assert found.amplification < 1.5
