"""The processes that run a batch job: each polls one queue as the Lambda runtime does, and may be killed at any moment.

Their clock runs faster, so that a lease of five and a half minutes ends in seconds. The steps are the true ones, over
boto3 and HTTP.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from functions.jobs.state.queue_messages import QueueMessage, Step
from functions.jobs.storage.aws import wall_clock_ms
from functions.messages import Result
from functions.pipeline.pipeline import Pipeline
from functions.replica.client import ReplicaClient
from functions.tasks.task import TextRequest
from shared.errors import GlossaError
from tests.simulator.effects import Wrapper
from tests.stack.replica import fake_replica
from tests.unit.functions.http.world import catalog as mini_catalog
from tests.unit.functions.http.world import tokenizer
from tests.unit.functions.jobs.storage.cloud import CloudSettings, client, on_aws
from tests.unit.functions.jobs.wiring import Effects, make_finalizer, make_planner, make_sweeper, make_worker

LIFE_S = 300.0
POLL_S = 1
SWEEP_S = 1.0


@dataclass(frozen=True)
class Workspace:
    """The resources of a fleet, and its clock: from `begun_ms` on, `speed` of its seconds pass in one true second.

    Each message is sent twice with probability `doubled`.
    """

    settings: CloudSettings
    replica_url: str
    begun_ms: int
    speed: float
    doubled: float
    max_records: int

    def now_ms(self) -> int:
        """Return the fleet's time."""
        return self.begun_ms + int((wall_clock_ms() - self.begun_ms) * self.speed)

    def effects(self) -> Effects:
        """Make the adapters to AWS, on the fleet's clock."""
        effects = on_aws(self.settings)
        queue: Any = _Hurried(effects.queue, self.speed, self.doubled)
        return replace(effects, now_ms=self.now_ms, queue=queue)


class _Hurried(Wrapper):
    """Counts delays on the fleet's clock, and sends some messages twice."""

    def __init__(self, real: Any, speed: float, doubled: float) -> None:
        super().__init__(real)
        self._speed, self._doubled = speed, doubled

    def send(self, messages: Sequence[QueueMessage], *, delay_s: int = 0) -> None:
        twice = [message for message in messages if random.random() < self._doubled]
        self.real.send([*messages, *twice], delay_s=int(delay_s / self._speed))

    def return_message(self, step: Step, receipt: str, delay_s: int) -> None:
        self.real.return_message(step, receipt, int(delay_s / self._speed))


def serve_model(said: Connection) -> None:
    """Serve the fake engine over HTTP until killed; sends its address."""
    sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - otherwise each killed client is reported
    with fake_replica(mini_catalog()) as url:
        said.send(url)
        while os.getppid() > 1:
            time.sleep(1)


def serve(step: str, workspace: Workspace, said: Connection, seed: int) -> None:
    """Handle the messages of one queue, or sweep, until killed. Sends when it begins, calls the model, and ends."""
    random.seed(seed)
    sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it stays open as long as the process lives
    effects = workspace.effects()
    if step == "sweep":
        sweeper = make_sweeper(effects)
        while os.getppid() > 1:
            time.sleep(SWEEP_S)
            with _reported(said, "sweep"):
                sweeper.run(lambda: LIFE_S)
    else:
        _poll(step, workspace, said, _handler(step, workspace, effects, said))  # type: ignore[arg-type] # a step


def _handler(step: str, workspace: Workspace, effects: Effects, said: Connection) -> Any:
    if step == "plan":
        planner = make_planner(effects, mini_catalog(), "c" * 64, max_records=workspace.max_records)
        return lambda event: planner.handle_event(event, lambda: LIFE_S)
    if step == "finalize":
        return make_finalizer(effects).handle_event
    pipeline = Pipeline(mini_catalog(), dict.fromkeys(mini_catalog().models, tokenizer()))
    replica = ReplicaClient(workspace.replica_url)

    def respond(request: TextRequest) -> tuple[Result, Mapping[int, GlossaError]]:
        said.send(("model", time.monotonic()))
        return pipeline.run_valid_inputs(request, lambda calls: replica.infer(calls, request.deadline_s))

    worker = make_worker(effects, respond, time.monotonic)
    return lambda event: worker.handle_event(event, lambda: LIFE_S)


def _poll(step: Step, workspace: Workspace, said: Connection, handle: Any) -> None:
    sqs = client("sqs")
    url = getattr(workspace.settings, f"{step}_queue_url")
    while os.getppid() > 1:
        found = sqs.receive_message(
            QueueUrl=url, WaitTimeSeconds=POLL_S, AttributeNames=["ApproximateReceiveCount"]
        ).get("Messages", [])
        for message in found:
            with _reported(said, message["MessageId"]):
                answer = handle({"Records": [_record(message)]})
                if not answer["batchItemFailures"]:
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def _record(message: Mapping[str, Any]) -> dict[str, Any]:
    names = {"messageId": "MessageId", "receiptHandle": "ReceiptHandle", "body": "Body", "attributes": "Attributes"}
    return {ours: message[theirs] for ours, theirs in names.items()}


@contextlib.contextmanager
def _reported(said: Connection, name: str) -> Any:
    said.send(("begun", name))
    yield
    said.send(("done", name))
