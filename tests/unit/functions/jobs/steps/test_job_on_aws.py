"""A whole job on AWS (moto, or a running emulator), with the true pipeline and a replica in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from functions.jobs.state import keys, state_machine
from functions.jobs.state.queue_messages import Step
from functions.jobs.steps.delete import FUNCTION_LIFE_MS
from functions.jobs.storage.contracts import Stored
from functions.jobs.storage.sqs_queue import SqsQueue
from functions.messages import Result
from functions.pipeline.pipeline import Pipeline
from functions.replica.fake import FakeReplica
from functions.tasks.task import TextRequest
from shared.errors import GlossaError
from tests.unit.functions.http.world import catalog as mini_catalog
from tests.unit.functions.http.world import count_ids, tokenizer
from tests.unit.functions.jobs.storage.cloud import ENDPOINT, client, cloud, on_aws
from tests.unit.functions.jobs.world import JSONL, STEPS, TENANT, World


def pipeline_respond() -> Any:
    """Run requests through the true pipeline, with mini's tokenizer and a replica that counts ids."""
    pipeline = Pipeline(mini_catalog(), dict.fromkeys(mini_catalog().models, tokenizer()))
    replica = FakeReplica(count_ids)

    def respond(request: TextRequest) -> tuple[Result, Mapping[int, GlossaError]]:
        return pipeline.run_valid_inputs(request, lambda calls: replica.infer(calls, request.deadline_s))

    return respond


@pytest.fixture(params=["moto", *(["emulator"] if ENDPOINT else [])])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Return a world whose stores are on AWS."""
    made = World(max_records=7, respond=pipeline_respond())
    with cloud(monkeypatch, ENDPOINT if request.param == "emulator" else None) as settings:
        made.use(replace(on_aws(settings), now_ms=made.clock))
        yield made


def receive(world: World, step: Step) -> dict[str, Any] | None:
    """Receive one message of a queue as the runtime does."""
    assert isinstance(world.effects.queue, SqsQueue)
    url = world.effects.queue._urls[step]
    found = client("sqs").receive_message(QueueUrl=url, AttributeNames=["ApproximateReceiveCount"]).get("Messages")
    if not found:
        return None
    client("sqs").delete_message(QueueUrl=url, ReceiptHandle=found[0]["ReceiptHandle"])
    names = {"messageId": "MessageId", "receiptHandle": "ReceiptHandle", "body": "Body", "attributes": "Attributes"}
    return {"Records": [{ours: found[0][theirs] for ours, theirs in names.items()}]}


def drain(world: World, n_failing: int = 0) -> None:
    """Deliver every message once. All but `n_failing` are handled."""
    for _ in range(40):
        for step in STEPS:
            event = receive(world, step)
            if event is not None and world.answer(step, event) != {"batchItemFailures": []}:
                n_failing -= 1
    assert n_failing == 0


def test_a_whole_job_with_the_true_pipeline(world: World) -> None:
    """It is uploaded with the signed form, started, planned, answered, closed, and read through the manifest."""
    effects = world.effects
    status, made = world.ask("POST", "/v1/jobs", {"task": "text-classification", "files": ["a +%ü.jsonl", "b.txt"]})
    assert status == 201
    for upload, data in zip(made["uploads"], [JSONL + b"broken\n", b"Das ist ein Dokument."], strict=True):
        client("s3").put_object(Bucket=effects.input_bucket, Key=upload["fields"]["key"], Body=data)
    assert world.ask("POST", made["start"])[0] == 202
    drain(world)
    job = made["job"]
    assert world.job(job).state == state_machine.PARTIALLY_SUCCEEDED
    rows = world.rows(job)
    assert [row["index"] for row in rows] == list(range(42))
    assert [row["index"] for row in rows if "error" in row] == [40]
    assert {"label", "score"} == set(rows[0]["result"][0])
    status, results = world.ask("GET", f"/v1/jobs/{job}/results")
    assert status == 200
    assert len(results["parts"]) == world.job(job).n_shards
    stored = effects.objects.head(effects.output_bucket, results["manifest"]["key"])
    assert isinstance(stored, Stored)
    assert stored.metadata["sha256"] == results["manifest"]["sha256"]
    assert_redriven_and_deleted(world, job)


def assert_redriven_and_deleted(world: World, job: str) -> None:
    """Redrive: the shard of the broken line is answered again, with a manifest of its own. Delete: one item stays."""
    effects = world.effects
    assert world.jobs.redrive(TENANT, job)[1]
    drain(world)
    assert (world.job(job).state, world.job(job).generation) == (state_machine.PARTIALLY_SUCCEEDED, 1)
    assert world.manifest(job)["replaces"]["key"] == keys.manifest_key(TENANT, job)
    assert sum("generation" in part for part in world.manifest(job)["parts"]) == 1
    assert len(world.rows(job)) == 42
    world.jobs.delete(TENANT, job)
    drain(world, n_failing=1)  # it is looked at again
    world.clock.pass_s(FUNCTION_LIFE_MS / 1000)
    world.jobs.delete(TENANT, job)
    drain(world)
    assert world.job(job).state == state_machine.DELETED
    for bucket in (effects.input_bucket, effects.output_bucket):
        assert effects.objects.list(bucket, keys.job_prefix(TENANT, job)).objects == ()
    assert [item["sk"] for item in effects.table.query(keys.job_prefix(TENANT, job)).items] == ["job"]
