"""A job's status: counts, progress, rate and time left, also while the job waits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from functions.jobs.api.views import job_json
from functions.jobs.state import keys, state_machine
from functions.jobs.state.items import PlanProgress, from_item
from shared.errors import Unprocessable
from tests.unit.functions.jobs.state.test_state_machine import JOB, NOW
from tests.unit.functions.jobs.world import TENANT, World


@pytest.fixture
def world() -> World:
    """Return an empty world."""
    return World()


def test_status_while_planning_counts_what_was_found() -> None:
    """While planning goes on, records and shards are those found so far, and the progress is unknown."""
    job = replace(JOB, state=state_machine.PLANNING, started_ms=NOW, begun_ms=NOW, records_ok=10, records_run=10)
    shown = job_json(job, NOW + 5000, PlanProgress(max_records=256, max_chars=4096, record=40, n_shards=4))
    assert shown["counts"] == {
        "records": 40, "succeeded": 10, "failed": 0, "shards": 4, "shards_done": 0, "shards_failed": 0,
        "unreadable_inputs": 0,
    }  # fmt: skip
    assert (shown["progress"], shown["records_per_s"], shown["eta_s"]) == (None, 2.0, None)


def test_status_while_running_has_progress_rate_and_time_left() -> None:
    """The progress is answered records by all records. The time left follows from the rate so far."""
    job = replace(
        JOB, started_ms=NOW - 90_000, begun_ms=NOW, n_records=100, records_ok=20, records_failed=5, records_run=25,
        n_shards=4, shards_open=3,
    )  # fmt: skip
    shown = job_json(job, NOW + 10_000)
    assert (shown["progress"], shown["records_per_s"], shown["eta_s"]) == (0.25, 2.5, 30.0)


def test_a_job_that_only_waits_has_no_rate_and_no_time_left(world: World) -> None:
    """Time in the queue and time before a redrive do not count. The rate begins with the generation's first shard."""
    world.recipe()
    world.echo.poison, world.echo.poison_error = "b", lambda: Unprocessable("no")
    job = world.drop("in.jsonl", b'{"text": "a"}\n{"text": "b"}\n')
    world.deliver("plan")
    world.clock.pass_s(500)
    path = f"/v1/jobs/{job}"
    shown = world.ask("GET", path)[1]
    assert (shown["state"], shown["records_per_s"], shown["eta_s"]) == ("RUNNING", 0.0, None)
    world.echo.before = lambda: world.clock.pass_s(2)  # three calls: both records, then each
    world.run()
    world.clock.pass_s(500)
    assert world.ask("GET", path)[1]["records_per_s"] == pytest.approx(2 / 6, abs=0.05)
    world.echo.poison_error = None
    world.ask("POST", f"{path}/redrive")
    world.deliver("plan")
    world.clock.pass_s(500)
    shown = world.ask("GET", path)[1]
    assert (shown["state"], shown["records_per_s"], shown["eta_s"]) == ("RUNNING", 0.0, None)
    world.run()
    assert world.ask("GET", path)[1]["records_per_s"] == 1.0


def test_status_shows_the_plan_of_a_job_that_is_being_planned(world: World) -> None:
    """The route reads the planner's checkpoint."""
    world.recipe()
    job = world.drop("in.jsonl", b'{"text": "a"}\n')
    event = world.queue.receive("plan")
    assert event is not None
    world.planner.handle_event(event, lambda: 1.0)
    item = world.effects.table.get(keys.plan_item(TENANT, job))
    assert item is not None
    assert from_item(PlanProgress, item).n_inputs == 1
    status, shown = world.ask("GET", f"/v1/jobs/{job}")
    assert (status, shown["state"], shown["recipe"], shown["files"]) == (200, "PLANNING", "topics", ["in.jsonl"])
