"""An AWS account in memory, with the tables and buckets that several tests need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from moto import mock_aws

REGION = "eu-central-1"
WEIGHTS_BUCKET = "weights"
KEYS_TABLE = "keys"


@contextmanager
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Open an empty account; credentials and region of the machine are not read."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield


@contextmanager
def weights_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Open an account with an empty bucket that keeps versions; return a client of S3."""
    with account(monkeypatch):
        client = boto3.client("s3", region_name=REGION)
        client.create_bucket(Bucket=WEIGHTS_BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        client.put_bucket_versioning(Bucket=WEIGHTS_BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield client


@contextmanager
def keys_table(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Open an account with an empty table of API keys."""
    with account(monkeypatch):
        boto3.client("dynamodb").create_table(
            TableName=KEYS_TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
        yield
