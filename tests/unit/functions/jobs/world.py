"""A world around batch jobs for tests: a clock that tests move, all steps over stores in memory, and their runtime.

Its runtime does what Lambda does: it delivers messages to the steps and acknowledges those that they handled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from functions.http.authentication import OPEN, Auth
from functions.http.jobs_routes import make_api
from functions.http.resolver import Resolver
from functions.jobs.api.error_rows import ErrorRows
from functions.jobs.api.results import Results
from functions.jobs.records.formats import FormatOptions
from functions.jobs.records.result_rows import decode_rows
from functions.jobs.state import keys
from functions.jobs.state.items import Job, JobSpec, Shard
from functions.jobs.state.queue_messages import Step
from functions.jobs.steps.plan.planner import Planner
from functions.jobs.steps.work.answer_records import Respond
from functions.jobs.steps.work.worker import Worker
from functions.jobs.storage.in_memory.event_bus import InMemoryEventBus
from functions.jobs.storage.in_memory.objects import InMemoryObjects
from functions.jobs.storage.in_memory.queue import InMemoryQueue
from functions.jobs.storage.queries import all_shards, load_job
from functions.messages import Result
from functions.tasks.task import TextRequest
from shared.catalog import Catalog
from shared.errors import GlossaError
from tests.events import FakeContext, request
from tests.unit.functions.jobs.wiring import (
    Effects,
    in_memory,
    make_finalizer,
    make_jobs,
    make_planner,
    make_recipes,
    make_sweeper,
    make_worker,
)

EVENTS = Path(__file__).parents[3] / "events" / "batch"
STEPS: tuple[Step, ...] = ("plan", "work", "finalize")
CATALOG_SHA256 = "c" * 64
TENANT = "local"
LONG_S = 300.0
LINES = [f"line {i} ü日" for i in range(40)]
JSONL = "".join(json.dumps({"text": line, "id": f"r{i}"}) + "\n" for i, line in enumerate(LINES)).encode()


class Clock:
    """A clock in epoch milliseconds that moves only when a test moves it."""

    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        """Return the time."""
        return self.now_ms

    def pass_s(self, seconds: float) -> None:
        """Let time pass."""
        self.now_ms += int(seconds * 1000)


def catalog(tokens_per_s: float = 1e6) -> Catalog:
    """Make a catalog of one model, `mini`, with a head for each task."""
    topic = {"task": "text-classification", "prefix": "classifier", "labels": ("a", "b"), "default": True}
    model = {
        "name": "mini", "family": "xlm-roberta", "checkpoint": "nowhere", "weights_sha256": "0" * 64, "revision": "r7",
        "tokenizer_sha256": "f" * 64, "max_tokens": 32, "vocab_size": 100, "tokens_per_s": tokens_per_s,
        "heads": {"topic": topic, "embed": {"task": "feature-extraction"}, "mlm": {"task": "fill-mask"}},
    }  # fmt: skip
    return Catalog.model_validate({"default_model": "mini", "models": {"mini": model}})


@dataclass
class Echo:
    """A model that answers each text with its length and its reverse. `calls` keeps how many texts each call had.

    Each call first raises the next error of `fail`. `poison_error` is raised when a call holds a text of `poisons`.
    """

    calls: list[int] = field(default_factory=list)
    fail: list[Exception] = field(default_factory=list)
    poison: str = ""
    poisons: Collection[str] = ()
    poison_error: Callable[[], GlossaError] | None = None
    before: Callable[[], None] | None = None

    def __call__(self, request: TextRequest) -> tuple[Result, Mapping[int, GlossaError]]:
        """Answer a request as the pipeline would."""
        self.calls.append(len(request.inputs))
        if self.before is not None:
            self.before()
        if self.fail:
            raise self.fail.pop(0)
        bad = {self.poison, *self.poisons}
        if self.poison_error is not None and any(each.text in bad for each in request.inputs):
            raise self.poison_error()
        values = tuple({"n": len(each.text), "text": each.text[::-1]} for each in request.inputs)
        n = len(values)
        return Result(values, "mini", "topic", (1,) * n, (False,) * n, (3,) * n), {}


@dataclass
class World:
    """Everything that runs batch jobs, in one process."""

    clock: Clock = field(default_factory=Clock)
    echo: Echo = field(default_factory=Echo)
    versioned: bool = True
    tokens_per_s: float = 1e6
    max_records: int = 256
    step_shards: int = 20
    max_shards: int = 50_000
    max_items: int = 400
    respond: Respond | None = None

    def __post_init__(self) -> None:
        """Make the stores in memory, and all steps over them."""
        self.catalog = catalog(self.tokens_per_s)
        self.use(in_memory(self.clock, versioned=self.versioned))

    def use(self, effects: Effects) -> None:
        """Build all steps and the API from these effects."""
        self.effects = effects
        self.planner = self.planner_on(effects)
        self.worker = self.worker_on(effects)
        self.finalizer = make_finalizer(effects)
        self.sweeper = make_sweeper(effects, max_items=self.max_items)
        self.jobs, self.recipes = make_jobs(effects), make_recipes(effects)
        self.api = make_routes(effects, self.catalog)

    def planner_on(self, effects: Effects) -> Planner:
        """Build this world's planner from other effects."""
        return make_planner(
            effects, self.catalog, CATALOG_SHA256, max_records=self.max_records, step_shards=self.step_shards,
            max_shards=self.max_shards,
        )  # fmt: skip

    def worker_on(self, effects: Effects) -> Worker:
        """Build this world's worker from other effects."""
        return make_worker(effects, self.respond or self.echo, lambda: self.clock() / 1000, pause=self.clock.pass_s)

    # ---- from outside

    @property
    def queue(self) -> InMemoryQueue:
        """The queues in memory."""
        assert isinstance(self.effects.queue, InMemoryQueue)
        return self.effects.queue

    @property
    def objects(self) -> InMemoryObjects:
        """The buckets in memory."""
        assert isinstance(self.effects.objects, InMemoryObjects)
        return self.effects.objects

    @property
    def event_bus(self) -> InMemoryEventBus:
        """The event bus in memory."""
        assert isinstance(self.effects.event_bus, InMemoryEventBus)
        return self.effects.event_bus

    def ask(self, method: str, path: str, body: object = None, **changes: Any) -> tuple[int, Any]:
        """Send one API event; return status and JSON body."""
        raw = request(method, path, json.dumps(body) if body is not None else None, **changes)
        answer = self.api.resolve(raw, FakeContext())
        return answer["statusCode"], json.loads(answer["body"])

    def recipe(self, name: str = "topics", *, text: str = "document", task: str = "text-classification") -> JobSpec:
        """Make a recipe; return its spec."""
        head = "embed" if task == "feature-extraction" else "topic"
        spec = JobSpec(task, f"mini:{head}", {}, FormatOptions(text="lines" if text == "lines" else "document"))
        self.recipes.create(TENANT, name, spec)
        return spec

    def drop(self, name: str, data: bytes, recipe: str = "topics") -> str:
        """Put an object into a recipe's inbox, send its EventBridge event, and return the id of its job."""
        key = keys.inbox_key(TENANT, recipe, name)
        stored = self.objects.put(self.effects.input_bucket, key, data)
        self.announce(key, stored.size_bytes, stored.etag, stored.version)
        return keys.job_id_of_object(self.effects.input_bucket, key, stored.version or stored.etag, recipe)

    def announce(self, key: str, size: int, etag: str, version: str) -> None:
        """Put the EventBridge event of an object into the plan queue."""
        raw = json.loads((EVENTS / "eventbridge_created.json").read_text(encoding="utf-8"))
        raw["detail"]["bucket"]["name"] = self.effects.input_bucket
        raw["detail"]["object"] |= {"key": key, "size": size, "etag": etag, "version-id": version}
        self.queue.put("plan", json.dumps(raw))

    # ---- the runtime

    def answer(self, step: Step, event: dict[str, Any], time_left_s: float = LONG_S) -> dict[str, Any]:
        """Invoke a function with an event."""
        if step == "plan":
            return self.planner.handle_event(event, lambda: time_left_s)
        if step == "work":
            return self.worker.handle_event(event, lambda: time_left_s)
        return self.finalizer.handle_event(event)

    def deliver(self, step: Step, copies: int = 1) -> bool:
        """Deliver one message, `copies` times. Returns False when none is visible."""
        event = self.queue.receive(step)
        if event is None:
            return False
        for _ in range(copies):
            answer = self.answer(step, event)
        self.queue.acknowledge(step, event, answer)
        return True

    def run(self, *, copies: int = 1, rounds: int = 400) -> None:
        """Deliver messages until the queues are empty. Time passes when all messages are hidden."""
        for _ in range(rounds):
            moved = [self.deliver(step, copies) for step in STEPS]
            if not any(moved):
                visible_ms = self.queue.next_visible_ms()
                if visible_ms is None:
                    return
                self.clock.now_ms = max(self.clock.now_ms + 1, visible_ms)
        raise AssertionError(f"the queues were not empty after {rounds} rounds")

    def sweep(self, after_s: float = 0.0) -> dict[str, int]:
        """Let time pass, then sweep once."""
        self.clock.pass_s(after_s)
        return self.sweeper.run(lambda: LONG_S)

    # ---- results

    def job(self, job_id: str) -> Job:
        """Return a job."""
        job = load_job(self.effects.table, TENANT, job_id)
        assert job is not None
        return job

    def shards(self, job_id: str) -> list[Shard]:
        """Return a job's shards."""
        return list(all_shards(self.effects.table, self.job(job_id)))

    def manifest(self, job_id: str) -> dict[str, Any]:
        """Return a job's manifest."""
        read: dict[str, Any] = json.loads(self.output(keys.manifest_key(TENANT, job_id, self.job(job_id).generation)))
        return read

    def output(self, key: str) -> bytes:
        """Return the bytes of an output object."""
        return b"".join(self.effects.objects.read(self.effects.output_bucket, key))

    def rows(self, job_id: str) -> list[dict[str, Any]]:
        """Return all rows that the manifest names, in its order."""
        parts = self.manifest(job_id)["parts"]
        return [row for part in parts for row in decode_rows(self.output(part["key"]))]


def make_routes(effects: Effects, catalog: Catalog, auth: Auth = OPEN) -> Resolver:
    """Build the routes of the jobs API, by default without authentication."""
    return make_api(
        make_jobs(effects),
        make_recipes(effects),
        Results(table=effects.table, objects=effects.objects, output_bucket=effects.output_bucket),
        ErrorRows(table=effects.table, objects=effects.objects, output_bucket=effects.output_bucket),
        catalog=catalog,
        auth=auth,
    )


def texts(rows: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """Return the texts that the echo answered; None for error rows."""
    return [row["result"]["text"][::-1] if "result" in row else None for row in rows]


def assert_whole(world: World, job: str, expected: Sequence[str | None]) -> None:
    """Assert that each record has exactly one row, in order, and that manifest, counters and digests agree."""
    rows, manifest, found = world.rows(job), world.manifest(job), world.job(job)
    assert [row["index"] for row in rows] == list(range(len(expected)))
    assert texts(rows) == list(expected)
    n_failed = sum(text is None for text in expected)
    assert (found.records_ok, found.records_failed) == (len(expected) - n_failed, n_failed)
    assert found.n_records == len(expected)
    assert found.shards_open == 0
    assert found.shards_done + found.shards_failed == found.n_shards == len(manifest["parts"])
    assert manifest["counts"]["succeeded"] == found.records_ok
    assert manifest["counts"]["failed"] == found.records_failed
    assert manifest["state"] == found.state
    for part in manifest["parts"]:
        data = world.output(part["key"])
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (part["sha256"], part["size_bytes"])
        assert data.count(b"\n") == part["records"] == part["succeeded"] + part["failed"]
    assert world.effects.table.due(keys.due_partition(job), "9", 100) == []
