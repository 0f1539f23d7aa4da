"""The processes of a batch side: each polls one queue as the Lambda runtime does, and may be killed at any moment.

Time runs faster for them, so that a lease of five and a half minutes ends in seconds. The functions
themselves are the true ones, over boto3 and HTTP.
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
from functions.jobs.steps.finalize import Finalizer
from functions.jobs.steps.plan.planner import Planner
from functions.jobs.steps.sweep import Sweeper
from functions.jobs.steps.work.worker import Worker
from functions.jobs.storage.aws import BatchSettings, Doors, open_aws, wall_clock_ms
from functions.messages import Result
from functions.pipeline.pipeline import Pipeline
from functions.replica.client import ReplicaClient
from functions.tasks.task import TextRequest
from shared.errors import GlossaError
from tests.simulator.effects import Through
from tests.stack.replica import fake_replica
from tests.unit.functions.http.world import catalog as mini_catalog
from tests.unit.functions.http.world import tokenizer
from tests.unit.functions.jobs.storage.cloud import client

LIFE_S = 300.0
POLL_S = 1
SWEEP_S = 1.0


@dataclass(frozen=True)
class Workspace:
    """Where a fleet works and how: `speed` seconds of its clock pass in one, from `begun_ms` on.

    Every message is sent twice with probability `doubled`.
    """

    settings: BatchSettings
    replica_url: str
    begun_ms: int
    speed: float
    doubled: float
    max_records: int

    def now_ms(self) -> int:
        """Return the fleet's time."""
        return self.begun_ms + int((wall_clock_ms() - self.begun_ms) * self.speed)

    def doors(self) -> Doors:
        """Open the true doors, on the fleet's time."""
        doors = open_aws(self.settings)
        return replace(doors, now_ms=self.now_ms, queue=_Hurried(doors.queue, self.speed, self.doubled))  # type: ignore[arg-type] # the same methods


class _Hurried(Through):
    """A queue whose delays pass on the fleet's time, and that sends some messages twice."""

    def __init__(self, real: Any, speed: float, doubled: float) -> None:
        super().__init__(real)
        self._speed, self._doubled = speed, doubled

    def send(self, messages: Sequence[QueueMessage], *, delay_s: int = 0) -> None:
        twice = [pointer for pointer in messages if random.random() < self._doubled]
        self.real.send([*messages, *twice], delay_s=int(delay_s / self._speed))

    def hand_back(self, step: Step, receipt: str, delay_s: int) -> None:
        self.real.hand_back(step, receipt, int(delay_s / self._speed))


def serve_model(said: Connection) -> None:
    """Serve the fake engine over HTTP until killed; says its address."""
    sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - else each killed client is reported
    with fake_replica(mini_catalog()) as url:
        said.send(url)
        while os.getppid() > 1:
            time.sleep(1)


def serve(step: str, workspace: Workspace, said: Connection, seed: int) -> None:
    """Handle the messages of one queue, or sweep, until killed; says when it begins, asks the model and ends."""
    random.seed(seed)
    sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
    doors = workspace.doors()
    if step == "sweep":
        sweeper = Sweeper(doors)
        while os.getppid() > 1:
            time.sleep(SWEEP_S)
            with _reported(said, "sweep"):
                sweeper.run(lambda: LIFE_S)
    else:
        _poll(step, workspace, said, _handler(step, workspace, doors, said))  # type: ignore[arg-type] # a step


def _handler(step: str, workspace: Workspace, doors: Doors, said: Connection) -> Any:
    if step == "plan":
        planner = Planner(doors, mini_catalog(), "c" * 64, max_records=workspace.max_records)
        return lambda event: planner.answer(event, lambda: LIFE_S)
    if step == "finalize":
        return Finalizer(doors).answer
    pipeline = Pipeline(mini_catalog(), dict.fromkeys(mini_catalog().models, tokenizer()))
    replica = ReplicaClient(workspace.replica_url)

    def respond(request: TextRequest) -> tuple[Result, Mapping[int, GlossaError]]:
        said.send(("model", time.monotonic()))
        return pipeline.run_valid_inputs(request, lambda calls: replica.infer(calls, request.deadline_s))

    worker = Worker(doors, respond, time.monotonic)
    return lambda event: worker.answer(event, lambda: LIFE_S)


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
