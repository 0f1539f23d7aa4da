"""The report says what was measured, and which holds were broken."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from benchmarks.chaos.calls import Attempt, Call, Happening, Job, Seen
from benchmarks.chaos.figures import figures
from benchmarks.chaos.holds import judge
from benchmarks.chaos.report import Outcome, page, shown, write
from benchmarks.chaos.scenarios import scenario
from benchmarks.chaos.stack import own_catalog
from benchmarks.chaos.targets import TITLES
from shared.catalog import parse_catalog

CALLS = [Call(n, float(n), n + 0.1, "right", (Attempt(float(n), n + 0.1, 200),)) for n in range(30)]


def _outcome(name: str) -> Outcome:
    job = Job("SUCCEEDED", 10, 9, 1, 5.0)
    seen = Seen(CALLS, [Happening(10.0, "done", is_fault=True)], 10.0, 20.0, 30.0, n_upstream=60, job=job)
    chosen, found = scenario(name), figures(seen)
    return Outcome(chosen, seen, found, tuple(judge(chosen.holds, found)))


def test_a_broken_hold_is_said_twice_and_a_kept_one_once() -> None:
    """In the table of all scenarios, and beside its bound."""
    text = page([_outcome("ray-away")], "a machine", "2026-01-02")
    assert "| `jobs_lost <= 0` | 1.00 | **BROKEN** |" in text
    assert "| `n_wrong <= 0` | 0 | kept |" in text
    assert "| `amplification <= 1.2` | 2.00 | **BROKEN** |" in text
    assert "9 rows of 10 records" in text
    assert "2026-01-02: a machine" in text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("sli", 0.99876, "99.88 %"), ("p99_fault_ms", 1234.4, "1,234 ms"), ("recover_s", math.inf, "never"),
        ("notice_s", None, "-"), ("recover_s", 1.26, "1.3 s"), ("goodput_per_s", 12.34, "12.3/s"), ("n_wrong", 0, "0"),
    ],
)  # fmt: skip
def test_a_figure_is_shown_with_its_unit(name: str, value: float | None, text: str) -> None:
    """The unit is that of its name."""
    assert shown(name, value) == text


def test_the_files_hold_what_the_timeline_draws(tmp_path: Path) -> None:
    """Every request is in the file of its scenario."""
    (path,) = write([_outcome("kill-replica")], tmp_path, "a machine", "2026-01-02")
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert len(kept["seen"]["calls"]) == 30
    assert kept["seen"]["calls"][3]["attempts"][0]["status"] == 200
    assert (tmp_path / "report.md").exists()


def test_the_catalog_of_a_broken_stack_has_replicas_and_a_revision() -> None:
    """It reads the same checkpoint from any folder. That of the checkout is what it is made of."""
    text = Path("catalog.toml").read_text(encoding="utf-8")
    model = parse_catalog(own_catalog(text, "/a/checkout", 2, 7)).model("mini")
    assert (model.replicas.min, model.replicas.max, model.replicas.num_cpus, model.revision) == (2, 2, 1.0, "7")
    assert model.checkpoint == "/a/checkout/checkpoints/mini"


@pytest.mark.parametrize(
    ("part", "title"),
    [
        ("replica", "ray::ServeReplica:mini:replica"),
        ("replica", "ray::SERVE_REPLICA::mini#replica#oy5ebs83:ServeReplica:mini:replica.__init__"),
        ("controller", "ray::ServeController.listen_for_change"),
        ("proxy", "ray::HAProxyManager"),
    ],
)
def test_processes_are_known_by_what_ray_calls_them(part: str, title: str) -> None:
    """A process is found while it works and while it waits; the application at /v2 is no replica of the model."""
    assert TITLES[part].search(title)
    assert not TITLES["replica"].search("ray::ServeReplica:front:front")
