"""moto as the cloud: table, two buckets and three queues, made as the template makes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from moto import mock_aws

from functions.batch.doors import BatchSettings

REGION = "eu-central-1"


@contextmanager
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchSettings]:
    """Stand up the resources; yields the settings that name them."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield _resources()


def client(service: str) -> Any:
    """Make a plain client, as someone outside would."""
    return boto3.client(service, region_name=REGION)


def _resources() -> BatchSettings:
    _table()
    s3 = client("s3")
    for bucket in ("input-bucket", "output-bucket"):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    sqs = client("sqs")
    urls = {step: sqs.create_queue(QueueName=step)["QueueUrl"] for step in ("plan", "work", "finalize")}
    return BatchSettings(
        input_bucket="input-bucket", output_bucket="output-bucket", jobs_table="jobs",
        plan_queue_url=urls["plan"], work_queue_url=urls["work"], finalize_queue_url=urls["finalize"],
    )  # fmt: skip


def _table() -> None:
    names = ("pk", "sk", "gsi1pk", "gsi1sk")
    client("dynamodb").create_table(
        TableName="jobs",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
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
