"""The door to DynamoDB, and the contract of every store.

Carries out the writes that the machine makes: conditional, and all or nothing when there are
several. Reads are strongly consistent, except the index. Must not know what an item means.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from typing import Any, Protocol

from functions.jobs.state.keys import Key
from functions.jobs.state.transactions import (
    AtMost,
    Check,
    ConditionFailed,
    Delete,
    Guard,
    Is,
    IsIn,
    Item,
    Page,
    Put,
    Update,
    Write,
)
from shared.errors import Unavailable

MAX_WRITES = 100
CONTENTION_TRIES = 8
INDEX = "gsi1"


class Table(Protocol):
    """One table of items under (pk, sk). The memory store and DynamoDB's pass the same suite of tests."""

    def get(self, key: Key) -> Item | None:
        """Return the item, or None."""
        ...

    def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        """Return at most 100 items, in the order asked for; None where there is none."""
        ...

    def write(self, *writes: Write) -> None:
        """Do all of 1 to 100 writes on different items, or none.

        Raises Refused naming those whose guards are false, Unavailable when others kept getting in between.
        """
        ...

    def query(
        self, pk: str, *, prefix: str = "", after: str | None = None, limit: int = 100, newest_first: bool = False
    ) -> Page:
        """Return up to `limit` items of a partition whose sk begins with `prefix`, beyond sk `after`, sorted by sk."""
        ...

    def due(self, partition: str, until: str, limit: int) -> list[Key]:
        """Return the keys of items in an index partition with gsi1sk < `until`, oldest first. May lag behind writes."""
        ...


class DynamoDbTable:
    """The contract over one DynamoDB table; `client` is made at first use."""

    def __init__(self, table: str, make_client: Callable[[], Any], sleep: Callable[[float], None] = time.sleep) -> None:
        self._table = table
        self._make_client = make_client
        self._sleep = sleep

    @cached_property
    def _client(self) -> Any:
        return self._make_client()

    def get(self, key: Key) -> Item | None:
        """Return the item, or None."""
        found = self._client.get_item(TableName=self._table, Key=_key(key), ConsistentRead=True)
        return _read(found["Item"]) if "Item" in found else None

    def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        """Return at most 100 items, in the order asked for; None where there is none."""
        found: dict[Key, Item] = {}
        ask = [_key(key) for key in dict.fromkeys(keys)]
        for _ in range(CONTENTION_TRIES):
            if not ask:
                break
            request = {self._table: {"Keys": ask, "ConsistentRead": True}}
            answer = self._client.batch_get_item(RequestItems=request)
            items = [_read(raw) for raw in answer["Responses"].get(self._table, [])]
            found |= {Key(str(item["pk"]), str(item["sk"])): item for item in items}
            ask = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
        if ask:
            raise Unavailable(f"the table left {len(ask)} of {len(keys)} keys unread", retry_after_s=1.0)
        return [found.get(key) for key in keys]

    def write(self, *writes: Write) -> None:
        """Do all of 1 to 100 writes on different items, or none. Raises Refused, Unavailable."""
        check_writes(writes)
        statements = [_statement(self._table, write) for write in writes]
        for tries in range(CONTENTION_TRIES):
            reasons = self._transact(statements)
            if reasons is None:
                return
            if failed := tuple(i for i, reason in enumerate(reasons) if reason == "ConditionalCheckFailed"):
                raise ConditionFailed(failed)
            self._sleep(random.uniform(0.01, 0.05) * 2**tries)  # noqa: S311 - jitter is no secret
        raise Unavailable(
            f"the table refused {len(writes)} writes {CONTENTION_TRIES} times: {reasons}", retry_after_s=1.0
        )

    def _transact(self, statements: Sequence[Mapping[str, Any]]) -> list[str] | None:
        """Return None when written, else one reason per statement; other faults are raised."""
        client = self._client
        try:
            client.transact_write_items(TransactItems=statements)
        except client.exceptions.TransactionCanceledException as error:
            reasons = [str(reason.get("Code", "None")) for reason in error.response.get("CancellationReasons", [])]
            if set(reasons) <= _PASSING | {"None", "ConditionalCheckFailed"}:
                return reasons
            raise
        except (
            client.exceptions.TransactionInProgressException,
            client.exceptions.ProvisionedThroughputExceededException,
        ):
            return ["ThrottlingError"]
        return None

    def query(
        self, pk: str, *, prefix: str = "", after: str | None = None, limit: int = 100, newest_first: bool = False
    ) -> Page:
        """Return up to `limit` items of a partition whose sk begins with `prefix`, beyond sk `after`, sorted by sk."""
        names, values = {"#pk": "pk"}, {":pk": {"S": pk}}
        condition = "#pk = :pk"
        if prefix:
            names["#sk"], values[":prefix"] = "sk", {"S": prefix}
            condition += " AND begins_with(#sk, :prefix)"
        start = {"ExclusiveStartKey": _key(Key(pk, after))} if after is not None else {}
        answer = self._client.query(
            TableName=self._table, ConsistentRead=True, Limit=limit, ScanIndexForward=not newest_first,
            KeyConditionExpression=condition, ExpressionAttributeNames=names, ExpressionAttributeValues=values, **start,
        )  # fmt: skip
        last = answer.get("LastEvaluatedKey")
        return Page(tuple(_read(raw) for raw in answer["Items"]), last["sk"]["S"] if last else None)

    def due(self, partition: str, until: str, limit: int) -> list[Key]:
        """Return the keys of items in an index partition with gsi1sk < `until`, oldest first."""
        answer = self._client.query(
            TableName=self._table, IndexName=INDEX, Limit=limit,
            KeyConditionExpression="gsi1pk = :pk AND gsi1sk < :until",
            ExpressionAttributeValues={":pk": {"S": partition}, ":until": {"S": until}},
        )  # fmt: skip
        return [Key(raw["pk"]["S"], raw["sk"]["S"]) for raw in answer["Items"]]


def check_writes(writes: Sequence[Write]) -> None:
    """Raise ValueError for a transaction that no table would take."""
    if not 1 <= len(writes) <= MAX_WRITES or len({write.key for write in writes}) != len(writes):
        raise ValueError(f"got {len(writes)} writes, expected 1 to {MAX_WRITES} on different items. This is a bug.")
    if any(isinstance(write, Update) and not (write.set or write.add or write.remove) for write in writes):
        raise ValueError("got an update of nothing, expected a Check. This is a bug.")


_PASSING = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}


def _key(key: Key) -> dict[str, dict[str, str]]:
    return {"pk": {"S": key.pk}, "sk": {"S": key.sk}}


def _statement(table: str, write: Write) -> dict[str, Any]:
    if isinstance(write, Put):
        item = _key(write.key) | {name: _write(value) for name, value in write.item.items()}
        return {"Put": {"TableName": table, "Item": item, "ConditionExpression": "attribute_not_exists(pk)"}}
    terms = _Terms()
    condition = " AND ".join(["attribute_exists(pk)", *(terms.guard(guard) for guard in write.guards)])
    base: dict[str, Any] = {"TableName": table, "Key": _key(write.key), "ConditionExpression": condition}
    if isinstance(write, Update):
        base["UpdateExpression"] = terms.update(write)
    if terms.names:
        base["ExpressionAttributeNames"] = terms.names
    if terms.values:
        base["ExpressionAttributeValues"] = terms.values
    return {{Update: "Update", Delete: "Delete", Check: "ConditionCheck"}[type(write)]: base}


class _Terms:
    """Names and values of one statement's expressions."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.values: dict[str, dict[str, Any]] = {}

    def guard(self, guard: Guard) -> str:
        name = self._name(guard.name)
        match guard:
            case Is():
                return f"{name} = {self._value(guard.value)}"
            case IsIn():
                return f"{name} IN ({', '.join(self._value(value) for value in guard.values)})"
            case AtMost():
                return f"{name} <= {self._value(guard.value)}"

    def update(self, write: Update) -> str:
        clauses = {
            "SET": [f"{self._name(name)} = {self._value(value)}" for name, value in write.set.items()],
            "ADD": [f"{self._name(name)} {self._value(value)}" for name, value in write.add.items()],
            "REMOVE": [self._name(name) for name in write.remove],
        }
        return " ".join(f"{verb} {', '.join(terms)}" for verb, terms in clauses.items() if terms)

    def _name(self, name: str) -> str:
        return next((sign for sign, known in self.names.items() if known == name), None) or self._new_name(name)

    def _new_name(self, name: str) -> str:
        sign = f"#n{len(self.names)}"
        self.names[sign] = name
        return sign

    def _value(self, value: object) -> str:
        sign = f":v{len(self.values)}"
        self.values[sign] = _write(value)
        return sign


def _write(value: object) -> dict[str, Any]:
    match value:
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case list():
            return {"L": [_write(each) for each in value]}
        case dict():
            return {"M": {name: _write(each) for name, each in value.items()}}
        case _:
            raise TypeError(f"got a {type(value).__name__} for the table, expected str, int, bool, list or dict")


def _read(raw: Mapping[str, Mapping[str, Any]]) -> Item:
    return {name: _read_value(value) for name, value in raw.items()}


def _read_value(value: Mapping[str, Any]) -> Any:
    kind, content = next(iter(value.items()))
    if kind == "N":
        return int(Decimal(content))
    if kind == "L":
        return [_read_value(each) for each in content]
    if kind == "M":
        return _read(content)
    return content
