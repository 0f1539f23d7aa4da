"""AWS resources for tests, on moto or an emulator: the table, buckets and queues that the template makes."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from moto import mock_aws

from functions.jobs.storage.aws import (
    open_event_bus,
    open_objects,
    open_queue,
    open_table,
    open_webhooks,
    wall_clock_ms,
)
from functions.lambdas.settings import FinalizeSettings, JobsSettings
from tests.unit.functions.jobs.wiring import Effects

REGION = "eu-central-1"
ENDPOINT = os.environ.get("GLOSSA_TEST_ENDPOINT")  # of a running emulator; without it, only moto is used


class CloudSettings(JobsSettings, FinalizeSettings):
    """The settings that name all resources of batch jobs."""


@contextmanager
def cloud(monkeypatch: pytest.MonkeyPatch, endpoint: str | None = None) -> Iterator[CloudSettings]:
    """Make the resources, on moto unless an endpoint is given; yields the settings that name them."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")  # the key that the emulator takes as the owner of the account
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    if endpoint is not None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        yield resources(f"-{uuid.uuid4().hex[:8]}")
        return
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield resources()


def on_aws(settings: CloudSettings) -> Effects:
    """Make the adapters to AWS, on the wall clock."""
    urls = {"plan": settings.plan_queue_url, "work": settings.work_queue_url, "finalize": settings.finalize_queue_url}
    return Effects(
        table=open_table(settings.jobs_table),
        objects=open_objects(settings.account_id),
        queue=open_queue(urls),  # type: ignore[arg-type] # the keys are steps
        event_bus=open_event_bus(settings.event_bus),
        webhooks=open_webhooks(settings.webhooks_table, settings.webhooks_key),
        input_bucket=settings.input_bucket,
        output_bucket=settings.output_bucket,
        now_ms=wall_clock_ms,
    )


def client(service: str) -> Any:
    """Make a plain client, as an outside caller would."""
    return boto3.client(service, region_name=REGION)


def resources(suffix: str = "") -> CloudSettings:
    """Make tables, buckets, queues, bus and key, their names ending in `suffix`."""
    _table(f"jobs{suffix}")
    _table(f"webhooks{suffix}")
    client("events").create_event_bus(Name=f"bus{suffix}")
    s3 = client("s3")
    for bucket in (f"input{suffix}", f"output{suffix}"):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    sqs = client("sqs")
    urls = {step: sqs.create_queue(QueueName=step + suffix)["QueueUrl"] for step in ("plan", "work", "finalize")}
    return CloudSettings(
        input_bucket=f"input{suffix}", output_bucket=f"output{suffix}", jobs_table=f"jobs{suffix}",
        plan_queue_url=urls["plan"], work_queue_url=urls["work"], finalize_queue_url=urls["finalize"],
        account_id=client("sts").get_caller_identity()["Account"], event_bus=f"bus{suffix}",
        webhooks_table=f"webhooks{suffix}", webhooks_key=client("kms").create_key()["KeyMetadata"]["KeyId"],
    )  # fmt: skip


def _table(name: str) -> None:
    names = ("pk", "sk", "gsi1pk", "gsi1sk")
    client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in names],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "gsi1",
                "KeySchema": [
                    {"AttributeName": "gsi1pk", "KeyType": "HASH"},
                    {"AttributeName": "gsi1sk", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )
