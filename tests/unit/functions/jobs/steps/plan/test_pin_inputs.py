"""Jobs over a prefix: objects are listed in pages, pinned by version, and limited in number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from functions.jobs.state import keys
from functions.jobs.steps.plan.planner import MAX_RUNS
from functions.jobs.storage.queries import all_inputs, load_plan
from tests.unit.functions.jobs.world import TENANT, World, texts

BODY = {"task": "text-classification"}


def prefix_job(world: World, n_objects: int, prefix: str = "2026/") -> str:
    """Put objects and a folder under a prefix, and start a job over it."""
    for i in range(n_objects):
        world.objects.put("input", f"t/{TENANT}/data/2026/{i:04d} ü.txt", f"text {i}".encode())
    world.objects.put("input", f"t/{TENANT}/data/2026/", b"")
    world.objects.put("input", f"t/{TENANT}/data/2027/other.txt", b"not this")
    world.objects.put("input", "t/other/data/2026/foreign.txt", b"nor this")
    _, made = world.ask("POST", "/v1/jobs", BODY | {"prefix": prefix})
    assert (made["prefix"], made["uploads"]) == (prefix, [])
    assert world.ask("POST", made["start"])[0] == 202
    return str(made["job"])


def test_every_object_under_a_prefix_is_in_the_job() -> None:
    """More objects than one page, in the order of keys. Folders, other prefixes and other tenants are left out."""
    world = World()
    job = prefix_job(world, 120)
    world.run(rounds=2000)
    assert texts(world.rows(job)) == [f"text {i}" for i in range(120)]
    assert world.job(job).state == "SUCCEEDED"


def test_a_long_listing_goes_on_where_it_was() -> None:
    """However little time a planner has, each object is pinned once, and no run counts as failed."""
    world = World()
    job = prefix_job(world, 60 * (MAX_RUNS + 2))
    for _ in range(40):
        if (event := world.queue.receive("plan")) is None or world.job(job).state == "RUNNING":
            break
        left = iter([300.0])
        world.queue.acknowledge("plan", event, world.planner.handle_event(event, lambda left=left: next(left, 0.0)))  # type: ignore[misc] # bound now
        plan = load_plan(world.effects.table, world.job(job))
        if plan is not None and plan.n_inputs >= 0:
            break
    inputs = list(all_inputs(world.effects.table, world.job(job)))
    assert [each.ordinal for each in inputs] == list(range(60 * (MAX_RUNS + 2)))
    assert len({each.key for each in inputs}) == len(inputs)


def test_what_was_pinned_is_read_in_its_version() -> None:
    """An object that is overwritten or added after the listing changes nothing."""
    world = World()
    job = prefix_job(world, 2)
    world.deliver("plan")
    world.objects.put("input", f"t/{TENANT}/data/2026/0000 ü.txt", b"overwritten")
    world.objects.put("input", f"t/{TENANT}/data/2026/9999.txt", b"added")
    world.run()
    assert texts(world.rows(job)) == ["text 0", "text 1"]


def test_an_object_of_another_kind_is_a_problem_and_no_more() -> None:
    """The other objects are answered, and the manifest names this one."""
    world = World()
    world.objects.put("input", f"t/{TENANT}/data/2026/image.png", b"\x89PNG")
    job = prefix_job(world, 1)
    world.run()
    assert texts(world.rows(job)) == ["text 0"]
    assert (world.job(job).state, world.job(job).n_problems) == ("PARTIALLY_SUCCEEDED", 1)


def test_too_many_objects_end_the_job_in_words() -> None:
    """Above the limit nothing is planned, and the detail says what to do."""
    world = World()
    world.planner = replace(world.planner, pinner=replace(world.planner.pinner, max_inputs=60))
    job = prefix_job(world, 61)
    world.run()
    found = world.job(job)
    assert (found.state, found.code, found.n_shards) == ("FAILED", "too-large", 0)
    assert "name a longer prefix" in found.detail


def test_a_prefix_without_objects_ends_at_once() -> None:
    """Without a record there is no success. The job says where it looked, and what to do."""
    world = World()
    job = prefix_job(world, 0)
    world.run()
    ended = world.job(job)
    assert (ended.state, ended.code) == ("FAILED", "no-object")
    assert ended.detail.startswith(f"got no object under {keys.data_prefix(ended.tenant)}2026/, expected one at least;")
    assert "name another prefix" in ended.detail


@pytest.mark.parametrize("body", [{"prefix": "/a"}, {"prefix": "a\nb"}, {"prefix": "x" * 600}, {"prefix": 5}])
def test_prefixes_that_no_key_has_are_refused(body: dict[str, Any]) -> None:
    """Files together with a prefix are refused too."""
    world = World()
    assert world.ask("POST", "/v1/jobs", BODY | body)[0] == 422
    assert world.ask("POST", "/v1/jobs", BODY | {"prefix": "a", "files": ["a.txt"]})[0] == 422
