"""The stores of circuit breakers keep one contract: in memory, and in a DynamoDB table of moto."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from functions.replica.breaker_state import BreakerState
from functions.replica.breaker_store import PARTITION, BreakerStore, DynamoDbBreakers, InMemoryBreakers

OPEN = BreakerState(
    is_open=True, failures=5, failed_s=1764536400.123456, changed_s=1764536400.5, probe_s=1764536405.5, lease=3,
    lease_until_s=0.0, version=1, since_s=1764536399.5, asked_s=1764536415.25, took_s=14.5, openings=2, is_stalled=True,
)  # fmt: skip


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a client of moto's DynamoDB that has the table."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        made = boto3.client("dynamodb", region_name="us-east-1")
        names = {"pk": "HASH", "sk": "RANGE"}
        made.create_table(
            TableName="jobs",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in names.items()],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
        )
        yield made


@pytest.fixture(params=["memory", "table"])
def store(request: pytest.FixtureRequest, client: Any) -> BreakerStore:
    """Return an empty store."""
    return InMemoryBreakers() if request.param == "memory" else DynamoDbBreakers("jobs", lambda: client)


def test_a_state_comes_back_as_it_was_stored(store: BreakerStore) -> None:
    """Every field of a state survives, each model has its own, and nothing is there at first."""
    assert store.read("mini") is None
    assert store.swap("mini", OPEN, replaces=0) == (True, OPEN)
    assert (store.read("mini"), store.read("other")) == (OPEN, None)


def test_of_two_writers_one_wins_and_the_other_sees_what_was_written(store: BreakerStore) -> None:
    """A write that names another version than the stored one changes nothing."""
    closed = BreakerState(version=2)
    assert store.swap("mini", closed, replaces=1) == (False, None)
    assert store.swap("mini", OPEN, replaces=0)[0]
    assert store.swap("mini", closed, replaces=0) == (False, OPEN)
    assert store.swap("mini", closed, replaces=1) == (True, closed)
    assert store.swap("mini", OPEN, replaces=1) == (False, closed)


def test_a_stored_state_ends_by_itself_and_belongs_to_no_tenant(client: Any) -> None:
    """DynamoDB deletes the item a day after the last change."""
    store = DynamoDbBreakers("jobs", lambda: client, clock=lambda: 1_764_536_400.9)
    store.swap("mini", OPEN, replaces=0)
    (item,) = client.scan(TableName="jobs")["Items"]
    assert (item["pk"], item["sk"], item["expires_at"]) == ({"S": PARTITION}, {"S": "mini"}, {"N": "1764622800"})


def test_an_item_of_an_earlier_version_is_read(client: Any) -> None:
    """What it lacks is as if no outage was seen."""
    store = DynamoDbBreakers("jobs", lambda: client)
    store.swap("mini", OPEN, replaces=0)
    key, newer = (
        {"pk": {"S": PARTITION}, "sk": {"S": "mini"}},
        ("since_s", "asked_s", "took_s", "openings", "is_stalled"),
    )
    client.update_item(TableName="jobs", Key=key, UpdateExpression=f"REMOVE {', '.join(newer)}")
    empty = BreakerState()
    assert store.read("mini") == replace(OPEN, **{name: getattr(empty, name) for name in newer})


def test_an_item_that_is_no_state_is_refused(client: Any) -> None:
    """The circuit breaker then goes on with its own copy."""
    client.put_item(TableName="jobs", Item={"pk": {"S": PARTITION}, "sk": {"S": "mini"}, "version": {"N": "1"}})
    with pytest.raises(ValueError, match="no state"):
        DynamoDbBreakers("jobs", lambda: client).read("mini")
