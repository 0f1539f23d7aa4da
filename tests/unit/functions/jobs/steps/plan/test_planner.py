"""The planner: which objects it accepts, what it pins, where it goes on, and which events it ignores."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import Any

import pytest

from functions.jobs.state import keys, state_machine
from functions.jobs.steps.plan.planner import MAX_RUNS
from functions.jobs.storage.queries import load_plan
from shared.errors import Unavailable
from tests.unit.functions.jobs.world import EVENTS, LONG_S, TENANT, World, texts

DATA = b'{"text": "a"}\n{"text": "b"}\n{"text": "c"}\n'


def deliver(world: World, body: str, **left: float) -> dict[str, Any]:
    """Deliver one raw body to the planner."""
    world.queue.put("plan", body)
    event = world.queue.receive("plan")
    assert event is not None
    answer = world.answer("plan", event, **left)
    world.queue.acknowledge("plan", event, answer)
    return answer


@pytest.mark.parametrize(
    "name", ["eventbridge_tags_added", "eventbridge_deleted", "notification_removed", "test_event"]
)
def test_events_that_make_no_object_are_done_with(name: str) -> None:
    """Tag changes, delete markers and test events are acknowledged and start nothing."""
    world = World()
    world.recipe()
    assert deliver(world, (EVENTS / f"{name}.json").read_text(encoding="utf-8")) == {"batchItemFailures": []}
    assert world.ask("GET", "/v1/jobs")[1]["jobs"] == []


@pytest.mark.parametrize("name", ["eventbridge_created", "notification_created"])
def test_recorded_events_of_both_envelopes_start_the_same_job(name: str) -> None:
    """Either event plans the recorded object, under its version."""
    world = World()
    world.recipe()
    key = "t/local/inbox/topics/a+b %2Fü 日本.jsonl"
    world.objects.put(world.effects.input_bucket, key, DATA)
    raw = (EVENTS / f"{name}.json").read_text(encoding="utf-8").replace("IYV3p45BT0ac8hjHg1houSdS1a.Mro8e", "v1")
    assert deliver(world, raw) == {"batchItemFailures": []}
    job = keys.job_id_of_object("input", key, "v1", "topics")
    world.run()
    assert texts(world.rows(job)) == ["a", "b", "c"]


def test_both_envelopes_of_one_version_make_one_job() -> None:
    """A bucket may send both kinds of events for one object, and each of them twice."""
    world = World()
    world.recipe()
    key = "t/local/inbox/topics/a+b %2Fü 日本.jsonl"
    for version in ("v1", "v2"):
        world.objects.put(world.effects.input_bucket, key, DATA)
        for name in ("eventbridge_created", "notification_created") * 2:
            raw = (EVENTS / f"{name}.json").read_text(encoding="utf-8")
            deliver(world, raw.replace("IYV3p45BT0ac8hjHg1houSdS1a.Mro8e", version))
    jobs = {keys.job_id_of_object("input", key, version, "topics") for version in ("v1", "v2")}
    assert {job["job"] for job in world.ask("GET", "/v1/jobs")[1]["jobs"]} == jobs


@pytest.mark.parametrize(
    "key", ["t/local/jobs/x/input/a.jsonl", "t/local/inbox/topics/", "t/LOCAL/inbox/topics/a.jsonl", "other/a.jsonl"]
)
def test_objects_elsewhere_start_nothing(key: str) -> None:
    """Uploads of API jobs, folders and keys of another shape are no jobs."""
    world = World()
    world.recipe()
    world.announce(key, 5, "e", "v1")
    world.deliver("plan")
    assert world.ask("GET", "/v1/jobs")[1]["jobs"] == []


def test_another_bucket_starts_nothing() -> None:
    """An event of another bucket is ignored."""
    world = World()
    world.recipe()
    raw = json.loads((EVENTS / "eventbridge_created.json").read_text(encoding="utf-8"))
    raw["detail"]["bucket"]["name"] = "elsewhere"
    assert deliver(world, json.dumps(raw)) == {"batchItemFailures": []}
    assert world.ask("GET", "/v1/jobs")[1]["jobs"] == []


def test_an_event_without_version_finds_it() -> None:
    """When the event names only an etag, the version of that content is looked up and pinned."""
    world = World()
    world.recipe()
    key = keys.inbox_key(TENANT, "topics", "a.jsonl")
    stored = world.objects.put(world.effects.input_bucket, key, DATA)
    world.announce(key, 0, stored.etag, "")
    world.deliver("plan")
    world.objects.put(world.effects.input_bucket, key, b'{"text": "overwritten"}\n')
    world.run()
    job = world.ask("GET", "/v1/jobs")[1]["jobs"][0]["job"]
    assert texts(world.rows(job)) == ["a", "b", "c"]


@pytest.mark.parametrize("body", ["[]", "{}", "nonsense", '{"glossa": "plan", "tenant": "local", "job": "../x"}'])
def test_foreign_messages_go_the_way_of_the_dead_letters(body: str) -> None:
    """A message that is neither an S3 event nor ours fails, so that someone sees it."""
    assert len(deliver(World(), body)["batchItemFailures"]) == 1


def test_a_recipe_whose_model_is_gone_fails_in_words() -> None:
    """The catalog has changed since. The job ends FAILED and names the model."""
    world = World()
    spec = world.recipe()
    world.recipes.create(TENANT, "old", replace(spec, model="retired"))
    job = world.drop("a.jsonl", DATA, recipe="old")
    world.run()
    assert (world.job(job).state, world.job(job).code) == (state_machine.FAILED, "not-found")
    assert "retired" in world.job(job).detail


@pytest.mark.parametrize(
    ("recipe", "state"),
    [("text-classification", "SUCCEEDED"), ("feature-extraction", "SUCCEEDED"), ("zero-shot-classification", "FAILED")],
)
def test_an_inbox_named_like_a_task_has_a_recipe(recipe: str, state: str) -> None:
    """This holds for tasks without required parameters. The job names the model that answered it."""
    world = World()
    job = world.drop("a.jsonl", DATA, recipe=recipe)
    world.run()
    assert world.job(job).state == state
    shown = world.ask("GET", f"/v1/jobs/{job}")[1]
    assert (shown["model"] or "none").startswith("mini:" if state == "SUCCEEDED" else "none")


def test_a_recipe_of_ones_own_comes_before_the_default() -> None:
    """This holds for a recipe that is named like a task too."""
    world = World()
    world.recipe("feature-extraction")
    job = world.drop("a.jsonl", DATA, recipe="feature-extraction")
    world.run()
    assert world.job(job).head == "topic"


def test_shards_end_where_records_do_and_carry_no_text() -> None:
    """Ranges follow each other over the object. Neither the table nor the queue holds a word of it."""
    world = World(max_records=2)
    world.recipe()
    job = world.drop("a.jsonl", b'{"text": "canary-9c1e"}\n' * 5)
    world.deliver("plan")
    shards = world.shards(job)
    assert [(s.start, s.end, s.line, s.record, s.n_records) for s in shards] == [
        (0, 48, 0, 0, 2), (48, 96, 2, 2, 2), (96, 120, 4, 4, 1),
    ]  # fmt: skip
    assert "canary" not in repr(world.queue._messages)
    assert "canary" not in repr(world.effects.table.query(keys.job_prefix(TENANT, job)).items)


def test_a_slow_model_gets_small_shards() -> None:
    """How much a worker can answer in its time depends on the model's speed."""
    slow, fast = World(tokens_per_s=50.0), World()
    data = b'{"text": "%s"}\n' % (b"x" * 2000) * 20
    for world, n_shards in ((slow, 10), (fast, 1)):
        world.recipe()
        job = world.drop("a.jsonl", data)
        world.deliver("plan")
        assert world.job(job).n_shards == n_shards


def test_a_planner_that_is_overtaken_stops() -> None:
    """Of two planners of one job each step is written by one. Together they make the same plan as one."""
    world = World(max_records=1, step_shards=1)
    world.recipe()
    job = world.drop("a.jsonl", DATA)
    calls = 0

    def left() -> float:
        nonlocal calls
        calls += 1
        if calls == 3:  # in the middle of the first planner's work
            world.planner.run(TENANT, job, lambda: LONG_S)
        return LONG_S

    event = world.queue.receive("plan")
    assert event is not None
    world.queue.acknowledge("plan", event, world.planner.handle_event(event, left))
    assert calls >= 3
    world.run()
    assert texts(world.rows(job)) == ["a", "b", "c"]
    assert [s.record for s in world.shards(job)] == [0, 1, 2]


class Failing:
    """An object store whose reads fail."""

    def __init__(self, world: World, error: Exception) -> None:
        self._real, self._error = world.effects.objects, error

    def __getattr__(self, name: str) -> Any:
        """Pass all else on."""
        return getattr(self._real, name)

    def read(self, *_: object, **__: object) -> Any:
        """Fail."""
        raise self._error


def failing(error: Exception) -> tuple[World, str]:
    """Return a world whose input bucket fails, with a job."""
    world = World()
    world.recipe()
    job = world.drop("a.jsonl", DATA)
    objects: Any = Failing(world, error)
    world.planner = world.planner_on(replace(world.effects, objects=objects))
    return world, job


def test_an_input_that_cannot_be_read_is_given_up_at_last() -> None:
    """Reads that always fail end the input after some tries, and with it the job."""
    world, job = failing(PermissionError("secret"))
    world.run()
    found = world.job(job)
    assert (found.state, found.code) == (state_machine.FAILED, "unreadable")
    assert "secret" not in found.detail


def test_an_outage_of_the_bucket_is_waited_out() -> None:
    """Retryable failures count for nothing, however many there are."""
    world, job = failing(Unavailable("slow down"))
    for _ in range(3 * MAX_RUNS):
        assert world.deliver("plan")
        world.clock.pass_s(1000)
    plan = load_plan(world.effects.table, world.job(job))
    assert plan is not None
    assert plan.runs == 0
    world.use(world.effects)
    world.run()
    assert texts(world.rows(job)) == ["a", "b", "c"]


def test_a_job_that_is_unknown_or_over_is_left_alone() -> None:
    """Late plan messages for ended or unknown jobs do nothing."""
    world = World()
    world.recipe()
    job = world.drop("a.jsonl", DATA)
    world.run()
    before = world.job(job)
    for job_id in (job, "0" * 32):
        world.planner.run(TENANT, job_id, lambda: LONG_S)
    world.run()
    assert world.job(job) == before


def test_an_object_of_too_many_records_ends_with_what_fits() -> None:
    """The problem says the limit, the byte and a way out. The other objects of the job go on."""
    world = World(max_records=1, step_shards=2)
    world.planner = replace(world.planner, max_object_records=5)
    body = {"task": "text-classification", "files": ["a.jsonl", "b.jsonl"]}
    made = world.ask("POST", "/v1/jobs", body)[1]
    for form, data in zip(made["uploads"], (DATA * 3, DATA), strict=True):
        world.objects.put("input", form["fields"]["key"], data)
    world.ask("POST", made["start"])
    world.run()
    assert texts(world.rows(made["job"])) == ["a", "b", "c", "a", "a", "b", "c"]
    first, second = world.manifest(made["job"])["inputs"]
    assert first["error"]["code"] == "too-large"
    assert first["error"]["detail"].startswith(
        "got more than 5 records, at most that many in one object: what begins at byte 56 of this object is not in it"
        " (the 4 records before are)"
    )
    assert "error" not in second


def test_a_bomb_makes_no_shard() -> None:
    """Compressed data that grows more than 200 times is refused before any of it is planned."""
    world = World()
    world.recipe()
    job = world.drop("in.jsonl.gz", gzip.compress(b'{"text": "a"}\n' * 400_000))
    world.run()
    found = world.job(job)
    assert (found.state, found.n_shards, found.code) == (state_machine.FAILED, 0, "too-large")
    assert "at most 200 times as many" in found.detail


def test_a_job_of_too_many_shards_ends_with_what_fits() -> None:
    """The problem says the limit, the byte and a way out. What fits is answered."""
    world = World(max_records=1, step_shards=2, max_shards=5)
    world.recipe()
    job = world.drop("in.jsonl", DATA * 3)
    world.run()
    found = world.job(job)
    assert (found.state, found.n_shards, found.n_problems) == (state_machine.PARTIALLY_SUCCEEDED, 4, 1)
    assert texts(world.rows(job)) == ["a", "b", "c", "a"]
    error = world.manifest(job)["inputs"][0]["error"]
    assert error["code"] == "too-large"
    assert "at most that many in one job: what begins at byte 56 of this object" in error["detail"]
    assert "got more than 5 shards" in error["detail"]
    assert "another job" in error["detail"]
