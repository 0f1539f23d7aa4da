"""One unique text through every path of both sides. It is in the answers alone: in no log, metric, message or event."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from starlette.types import ASGIApp

from functions.jobs.state.queue_messages import Step
from functions.jobs.storage.in_memory.queue import InMemoryQueue
from serve.replica import Replica
from shared import metrics
from shared.errors import DeadlineExceeded, ReplicaError, Unavailable, Unprocessable
from shared.messages import InferCall, ModelOutput
from tests.embedded_metrics import json_lines, published
from tests.events import request
from tests.leaks import CANARY, leaks
from tests.unit.functions.http.world import count_ids, make, send
from tests.unit.functions.jobs.steps.test_notify import Receiver, notify
from tests.unit.functions.jobs.wiring import in_memory
from tests.unit.functions.jobs.world import World
from tests.unit.serve.replicas import padded, post, run_with_replica, toy_model

HOOK = {"url": "https://hooks.example/glossa", "secret": f"secret-{CANARY.split()[0]}"}
ROWS = [{"id": CANARY, "text": CANARY}, {"id": "2", "text": f"{CANARY} {CANARY}"}]


@pytest.fixture(autouse=True)
def _metrics() -> Iterator[None]:
    metrics.set_stack("glossa-test-service")
    yield
    metrics.forget_stack()


def _crash(_: InferCall) -> ModelOutput:
    raise RuntimeError(CANARY)


def _late(_: InferCall) -> ModelOutput:
    raise DeadlineExceeded(f"got no answer to {CANARY}")


def _down(_: InferCall) -> ModelOutput:
    raise Unavailable(f"nobody answers {CANARY}", retry_after_s=1.0)


BODIES: dict[str, tuple[str, object]] = {
    "text": ("/v1/text-classification", {"inputs": CANARY}),
    "pair": ("/v1/text-classification", {"inputs": [{"text": CANARY, "text_pair": CANARY}]}),
    "label": ("/v1/zero-shot-classification", {"inputs": "a", "parameters": {"candidate_labels": [CANARY]}}),
    "question": ("/v1/question-answering", {"inputs": {"question": CANARY, "context": CANARY}}),
    "parameter": ("/v1/text-classification", {"inputs": "a", "parameters": {"top_k": CANARY}}),
    "name of a parameter": ("/v1/text-classification", {"inputs": "a", "parameters": {CANARY: 1}}),
    "model": ("/v1/text-classification", {"inputs": "a", "model": CANARY}),
    "field": ("/v1/text-classification", {"inputs": "a", CANARY: 1}),
    "no text": ("/v1/text-classification", {"inputs": [CANARY, ""]}),
    "tokens": ("/v1/tokenize", {"inputs": CANARY, "model": "mini"}),
    "path": (f"/v1/{CANARY}/{CANARY}", {"inputs": "a"}),
    "broken": ("/v1/text-classification", f'{{"inputs": "{CANARY}'),
}


@pytest.mark.parametrize("answer", [count_ids, _crash, _late, _down], ids=["answered", "crash", "time-out", "down"])
@pytest.mark.parametrize("name", BODIES)
def test_requests(name: str, answer: Callable[[InferCall], ModelOutput], capfd: Any, caplog: Any) -> None:
    """A request that is answered, refused, late, or crashes writes one line with metrics and without the text."""
    path, body = BODIES[name]
    with caplog.at_level("DEBUG"):
        send(make(answer), request("POST", path, body if isinstance(body, str) else json.dumps(body)))
    out, err = capfd.readouterr()
    assert leaks({"standard output": out, "standard error": err, "logging": caplog.text}) == []
    assert "requests" in {each.name for each in published(json_lines(out))}


class RecordingQueue(InMemoryQueue):
    """Queues that also keep every body that was ever put into them."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        super().__init__(now_ms)
        self.bodies: list[str] = []

    def put(self, step: Step, body: str, delay_s: int = 0) -> None:
        """Put a message, and keep its body."""
        self.bodies.append(body)
        super().put(step, body, delay_s)


FAILURES: dict[str, list[Exception]] = {
    "answered": [],
    "crash": [RuntimeError(CANARY)] * 9,
    "time-out": [DeadlineExceeded(CANARY)] * 3,
    "server breaks": [ReplicaError(CANARY)] * 9,
    "refused": [Unprocessable(CANARY)] * 9,
    "down": [Unavailable(CANARY, retry_after_s=1.0)] * 3,
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("receiver", [[], [500, 500, Unavailable(CANARY)], [Unprocessable(f"bad address {CANARY}")]])
def test_jobs(failure: str, receiver: list[int | Exception], capfd: Any, caplog: Any) -> None:
    """A job keeps texts and ids to itself, over crashes, retries, shards given up, dead letters and webhooks."""
    world = World(max_records=1)
    queue = RecordingQueue(world.clock)
    world.use(replace(in_memory(world.clock), queue=queue))
    world.echo.fail = list(FAILURES[failure])
    with caplog.at_level("DEBUG"):
        job = _run_a_job(world)
        notify(world, Receiver(list(receiver)))
        queue.put("work", json.dumps({"of": "nobody"}))  # a dead letter
        world.deliver("work")
    out, err = capfd.readouterr()
    places = {
        "standard output": out, "standard error": err, "logging": caplog.text, "messages": "\n".join(queue.bodies),
        "events": json.dumps(world.event_bus.events), "manifest": json.dumps(world.manifest(job)),
    }  # fmt: skip
    assert leaks(places) == []
    assert {"shards_done", "jobs_ended", "message_failures"} <= {each.name for each in published(json_lines(out))}
    if failure == "answered":
        assert [row["id"] for row in world.rows(job) if "id" in row] == [
            CANARY,
            "2",
        ]  # the caller gets its own words back


def _run_a_job(world: World) -> str:
    _, made = world.ask(
        "POST",
        "/v1/jobs",
        {"task": "text-classification", "model": "mini:topic", "files": ["a.jsonl"], "webhook": HOOK},
    )
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS) + f"broken {CANARY}\n"
    world.objects.put("input", made["uploads"][0]["fields"]["key"], data.encode())
    world.ask("POST", made["start"])
    world.run()
    return str(made["job"])


V2_BODIES: dict[str, object] = {
    "id": {**padded([[1, 2]]), "id": CANARY},
    "parameter": padded([[1, 2]], **{CANARY: 1}),
    "head": padded([[1, 2]], head=CANARY),
    "tensor": {"inputs": [{"name": CANARY, "datatype": "BYTES", "shape": [1], "data": [CANARY]}]},
    "broken": f'{{"id": "{CANARY}'.encode(),
}


@pytest.mark.parametrize("name", V2_BODIES)
def test_v2(name: str, capfd: Any, caplog: Any) -> None:
    """A call to a replica that holds the text in a name, an id or a tensor writes it to no log."""

    async def test(_: Replica, app: ASGIApp) -> None:
        reply = await post(app, V2_BODIES[name], {"content-type": "application/json", "x-request-id": "r-1"})
        assert reply.status in {200, 400, 404, 422}

    with caplog.at_level("DEBUG"):
        run_with_replica(toy_model(), test)
    out, err = capfd.readouterr()
    assert leaks({"standard output": out, "standard error": err, "logging": caplog.text}) == []


def test_a_leak_would_be_seen(capfd: Any) -> None:
    """When a step prints what it reads, the search finds it."""
    world = World()
    world.echo.before = lambda: sys.stderr.write(str(ROWS))
    _run_a_job(world)
    out, err = capfd.readouterr()
    assert leaks({"standard output": out, "standard error": err}) == ["standard error"]
