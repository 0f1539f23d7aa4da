"""A training that stops goes on from its state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from checkpoints.mini.finetuning.batches import Batches
from checkpoints.mini.finetuning.examples import Examples
from checkpoints.mini.finetuning.network import Network
from checkpoints.mini.finetuning.training import TURNS, Plan, Training

IDS = [np.array([0, 10 + n, 20, 2]) for n in range(10)]
BANK = torch.nn.functional.normalize(torch.randn(10, 384, generator=torch.Generator().manual_seed(0)), dim=1)
ONES = np.ones(10, np.int64)
SETS = {
    "topics": Examples(IDS, {"topic": ONES, "language": ONES, "target": np.arange(10)}),
    "words": Examples(IDS, {"target": np.arange(10)}),
    "parallel": Examples(IDS, {"target": np.arange(10)}),
    "masked": Examples(IDS * 4),
    "sentiment": Examples(IDS, {"label": ONES}),
    "nli": Examples(IDS, {"label": ONES}),
    "entities": Examples(IDS, {}, {"tag": [np.array([-100, 1, 0, -100])] * 10}),
    "answers": Examples(IDS, {"start": ONES, "end": ONES}),
    "cloze": Examples(IDS, {"start": ONES, "end": ONES}),
    "choice": Examples(IDS, {"label": ONES}, n_together=5),
    "similarity": Examples(IDS, {"score": np.repeat(np.arange(5, dtype=np.float32), 2)}, n_together=2),
}


def start(work: Path, seconds: float) -> Training:
    """Return a run of one layer and 60 pieces."""
    torch.manual_seed(5)
    plan = Plan(seconds=seconds, topics_tokens=64, other_tokens=64)
    return Training(Network(60, 1, 3), SETS, dict.fromkeys(("topics", "words", "parallel"), BANK), plan, work, seed=1)


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Steps, tokens, clock, weights and their average are those of the state, and a finished run ends at once."""
    first = start(tmp_path, 1e-6)
    first.run()
    again = start(tmp_path, 1e-6)
    assert again.load()
    again.run()
    assert (again.step, again.n_tokens, again.spent_s) == (first.step, first.n_tokens, first.spent_s)
    assert torch.equal(again.network.pooler.weight, first.network.pooler.weight)
    assert torch.equal(again.average.pooler.weight, first.average.pooler.weight)


def test_without_a_state_a_run_begins(tmp_path: Path) -> None:
    """Nothing is loaded."""
    assert not start(tmp_path, 1.0).load()


def test_every_task_has_a_finite_loss(tmp_path: Path) -> None:
    """One step of each task, beside SIB-200."""
    run = start(tmp_path, 600.0)
    batches = {name: Batches(one, 64, 0) for name, one in SETS.items()}
    for name in TURNS:
        run.advance(batches, name, np.random.default_rng(0))
    assert set(run.means) == {*TURNS, "topic", "language", "aligned"}
    assert all(np.isfinite(value) for value in run.means.values())
