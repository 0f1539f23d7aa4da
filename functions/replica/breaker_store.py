"""Where functions share the states of their circuit breakers: one item of a DynamoDB table for each model, or memory.

A write names the version that it replaces, so of two writers one wins, and the other sees what was written. The client
of DynamoDB is handed in. Must not know the rules by which a state changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from threading import Lock
from typing import Any, Protocol

from functions.replica.breaker_state import BreakerState

PARTITION = "breakers"  # the partition key of all these items; it belongs to no tenant
ZERO, NO = {"N": "0"}, {"BOOL": False}  # what an item lacks that a function of an earlier version wrote
KEPT_S = 86_400  # after the last change; DynamoDB then deletes the item


class BreakerStore(Protocol):
    """The stored states, each under the name of its model. Any method but `now_s` may raise any error."""

    def now_s(self) -> float:
        """Return the time of the clock that all users of this store share."""
        ...

    def read(self, model: str) -> BreakerState | None:
        """Return the stored state, or None. The read is strongly consistent."""
        ...

    def swap(self, model: str, after: BreakerState, *, replaces: int) -> tuple[bool, BreakerState | None]:
        """Store a state if the stored one has the version `replaces`; 0 means that there is none.

        Return whether it was stored, and what is stored now.
        """
        ...


@dataclass
class InMemoryBreakers:
    """States in a dict, for functions without a table and for tests. `clock` may be any clock."""

    clock: Callable[[], float] = time.monotonic
    states: dict[str, BreakerState] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def now_s(self) -> float:
        """Return the time of `clock`."""
        return self.clock()

    def read(self, model: str) -> BreakerState | None:
        """Return the stored state, or None."""
        return self.states.get(model)

    def swap(self, model: str, after: BreakerState, *, replaces: int) -> tuple[bool, BreakerState | None]:
        """Store a state if the stored one has this version."""
        with self._lock:
            stored = self.states.get(model)
            if (stored.version if stored else 0) != replaces:
                return False, stored
            self.states[model] = after
            return True, after


class DynamoDbBreakers:
    """States in a DynamoDB table with the keys `pk` and `sk`. `make_client` is called at the first use."""

    def __init__(self, table: str, make_client: Callable[[], Any], clock: Callable[[], float] = time.time) -> None:
        self._table = table
        self._make_client = make_client
        self._clock = clock

    @cached_property
    def _client(self) -> Any:
        return self._make_client()

    def now_s(self) -> float:
        """Return the epoch seconds."""
        return self._clock()

    def read(self, model: str) -> BreakerState | None:
        """Return the stored state, or None. Raises botocore's errors, and ValueError for an item that is no state."""
        return _read(self._client.get_item(TableName=self._table, Key=_key(model), ConsistentRead=True).get("Item"))

    def swap(self, model: str, after: BreakerState, *, replaces: int) -> tuple[bool, BreakerState | None]:
        """Store a state if the stored one has this version. Raises as `read`."""
        client, values = self._client, {f.name: _value(getattr(after, f.name)) for f in fields(after)}
        guard: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if replaces:
            guard = {
                "ConditionExpression": "#version = :replaces",
                "ExpressionAttributeNames": {"#version": "version"},
                "ExpressionAttributeValues": {":replaces": {"N": str(replaces)}},
            }
        try:
            client.put_item(
                TableName=self._table,
                Item={**_key(model), **values, "expires_at": {"N": str(int(self._clock()) + KEPT_S)}},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **guard,
            )
        except client.exceptions.ConditionalCheckFailedException as refused:
            return False, _read(refused.response.get("Item"))
        return True, after


def _key(model: str) -> dict[str, Any]:
    return {"pk": {"S": PARTITION}, "sk": {"S": model}}


def _value(value: float) -> dict[str, Any]:
    return {"BOOL": value} if isinstance(value, bool) else {"N": repr(value)}


def _read(item: Mapping[str, Any] | None) -> BreakerState | None:
    if item is None:
        return None
    try:
        return BreakerState(
            is_open=bool(item["is_open"]["BOOL"]),
            failures=int(item["failures"]["N"]),
            failed_s=float(item["failed_s"]["N"]),
            changed_s=float(item["changed_s"]["N"]),
            probe_s=float(item["probe_s"]["N"]),
            lease=int(item["lease"]["N"]),
            lease_until_s=float(item["lease_until_s"]["N"]),
            version=int(item["version"]["N"]),
            since_s=float(item.get("since_s", ZERO)["N"]),
            asked_s=float(item.get("asked_s", ZERO)["N"]),
            took_s=float(item.get("took_s", ZERO)["N"]),
            openings=int(item.get("openings", ZERO)["N"]),
            is_stalled=bool(item.get("is_stalled", NO)["BOOL"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError("got an item that is no state of a circuit breaker") from error
