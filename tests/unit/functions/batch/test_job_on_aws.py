"""A whole job on AWS as moto plays it, with the real desks around a replica in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from functions.batch import machine
from functions.batch.doors import Doors, open_aws
from functions.batch.objects import Stored
from functions.pipeline.journey import Journey
from functions.replica_fake import FakeReplica
from shared.errors import GlossaError
from shared.messages import Result, TextRequest
from tests.unit.functions.batch.cloud import client, cloud
from tests.unit.functions.batch.world import JSONL, World
from tests.unit.functions.infer.world import catalog as mini_catalog
from tests.unit.functions.infer.world import count_ids, tokenizer


def journey_respond() -> Any:
    """Put the three desks, with mini's tokenizer, around a replica that counts ids."""
    journey = Journey(mini_catalog(), dict.fromkeys(mini_catalog().models, tokenizer()))
    replica = FakeReplica(count_ids)

    def respond(request: TextRequest) -> tuple[Result, Mapping[int, GlossaError]]:
        return journey.run_each(request, lambda calls: replica.infer(calls, request.deadline_s))

    return respond


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[World, Doors]]:
    """Put a world on moto."""
    world = World(max_records=7, respond=journey_respond())
    with cloud(monkeypatch) as settings:
        doors = replace(open_aws(settings), now_ms=world.clock)
        world.use(doors)
        yield world, doors


def receive(step: str) -> dict[str, Any] | None:
    """Receive one message of a queue as the runtime does."""
    sqs = client("sqs")
    url = sqs.get_queue_url(QueueName=step)["QueueUrl"]
    found = sqs.receive_message(QueueUrl=url, AttributeNames=["ApproximateReceiveCount"]).get("Messages")
    if not found:
        return None
    names = {"messageId": "MessageId", "receiptHandle": "ReceiptHandle", "body": "Body", "attributes": "Attributes"}
    return {"Records": [{ours: found[0][theirs] for ours, theirs in names.items()}]}


def test_a_whole_job_on_moto_with_the_real_desks(aws: tuple[World, Doors]) -> None:
    """Uploaded by the signed form's key, started, planned, answered by the journey, closed, read by the manifest."""
    world, doors = aws
    status, made = world.ask("POST", "/v1/jobs", {"task": "text-classification", "files": ["a +%ü.jsonl", "b.txt"]})
    assert status == 201
    for upload, data in zip(made["uploads"], [JSONL + b"broken\n", b"Das ist ein Dokument."], strict=True):
        client("s3").put_object(Bucket=doors.input_bucket, Key=upload["fields"]["key"], Body=data)
    assert world.ask("POST", made["start"])[0] == 202
    for _ in range(40):
        for step in ("plan", "work", "finalize"):
            event = receive(step)
            if event is not None:
                assert world.answer(step, event) == {"batchItemFailures": []}  # type: ignore[arg-type] # a step
    job = made["job"]
    assert world.job(job).state == machine.PARTIALLY_SUCCEEDED
    rows = world.rows(job)
    assert [row["index"] for row in rows] == list(range(42))
    assert [row["index"] for row in rows if "error" in row] == [40]
    assert {"label", "score"} == set(rows[0]["result"][0])
    status, results = world.ask("GET", f"/v1/jobs/{job}/results")
    assert status == 200
    assert len(results["parts"]) == world.job(job).n_shards
    stored = doors.objects.head(doors.output_bucket, results["manifest"]["key"])
    assert isinstance(stored, Stored)
    assert stored.metadata["sha256"] == results["manifest"]["sha256"]
