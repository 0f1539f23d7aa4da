"""Makes the adapters to DynamoDB, S3, SQS, EventBridge and KMS from plain names.

An adapter makes its client at the first call, and boto3 is imported only then. Endpoint, region and credentials are
read by boto3. Must not know settings, steps or Lambdas.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from functions.jobs.state.queue_messages import Step
from functions.jobs.storage.contracts import EventBus, JobQueue, ObjectStore, Table
from functions.jobs.storage.dynamodb_table import DynamoDbTable
from functions.jobs.storage.eventbridge import EventBridgeBus
from functions.jobs.storage.kms_sealer import KmsSealer
from functions.jobs.storage.s3_objects import S3Objects
from functions.jobs.storage.sqs_queue import SqsQueue
from functions.jobs.storage.webhook_store import WebhookStore


def open_table(name: str) -> Table:
    """Return the DynamoDB table of this name."""
    return DynamoDbTable(name, lambda: _client("dynamodb"))


def open_webhooks(table: str, key: str = "") -> WebhookStore:
    """Return the webhooks in this table. A function that only removes them needs no `key` of KMS."""
    return WebhookStore(table=open_table(table), sealer=KmsSealer(key, lambda: _client("kms")))


def open_objects(owner: str = "") -> ObjectStore:
    """Return the buckets of S3. With an `owner`, an account, a bucket of another account is refused."""
    return S3Objects(lambda: _client("s3"), owner)


def open_queue(urls: Mapping[Step, str]) -> JobQueue:
    """Return the SQS queues at these addresses, one for each step that is named."""
    return SqsQueue(urls, lambda: _client("sqs"))


def open_event_bus(name: str) -> EventBus:
    """Return the bus of EventBridge of this name."""
    return EventBridgeBus(name, lambda: _client("events"))


def wall_clock_ms() -> int:
    """Return the time in epoch milliseconds."""
    return time.time_ns() // 1_000_000


def _client(service: str) -> Any:
    import boto3  # noqa: PLC0415 - takes 300 ms, which only a function that calls AWS needs to pay
    from botocore.config import Config  # noqa: PLC0415 - likewise

    # A signed address names the endpoint of the region: the global endpoint redirects, and a form cannot follow that.
    signing = {"signature_version": "s3v4", "s3": {"addressing_style": "virtual"}} if service == "s3" else {}
    retries = {"mode": "standard", "total_max_attempts": 4}
    return boto3.client(service, config=Config(retries=retries, connect_timeout=3, read_timeout=30, **signing))
