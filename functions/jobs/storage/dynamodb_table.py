"""The table contract over one DynamoDB table.

Translates writes and their guards into DynamoDB's expressions. Several writes are one transaction: all are done, or
none. Must not know what an item means.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from typing import Any

from functions.jobs.state.keys import INDEX_NAME, Key
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
from functions.jobs.storage.contracts import check_writes
from shared.errors import Unavailable

MAX_TRIES = 8  # of a call that meets other transactions, or is only partly answered


class DynamoDbTable:
    """One DynamoDB table. `make_client` is called at the first use; `sleep` waits between tries."""

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
        """Return at most 100 items in the order of their keys, and None for each that does not exist."""
        found: dict[Key, Item] = {}
        missing = [_key(key) for key in dict.fromkeys(keys)]
        for _ in range(MAX_TRIES):
            if not missing:
                break
            request = {self._table: {"Keys": missing, "ConsistentRead": True}}
            answer = self._client.batch_get_item(RequestItems=request)
            items = [_read(raw) for raw in answer["Responses"].get(self._table, [])]
            found |= {Key(str(item["pk"]), str(item["sk"])): item for item in items}
            missing = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
        if missing:
            raise Unavailable(f"the table left {len(missing)} of {len(keys)} keys unread", retry_after_s=1.0)
        return [found.get(key) for key in keys]

    def write(self, *writes: Write) -> None:
        """Do all of 1 to 100 writes on different items, or none. Raises ConditionFailed, Unavailable."""
        check_writes(writes)
        statements = [_statement(self._table, write) for write in writes]
        for tries in range(MAX_TRIES):
            reasons = self._transact(statements)
            if reasons is None:
                return
            if failed := tuple(i for i, reason in enumerate(reasons) if reason == "ConditionalCheckFailed"):
                raise ConditionFailed(failed)
            self._sleep(random.uniform(0.01, 0.05) * 2**tries)  # noqa: S311 - the wait needs no secret randomness
        raise Unavailable(f"the table refused {len(writes)} writes {MAX_TRIES} times: {reasons}", retry_after_s=1.0)

    def _transact(self, statements: Sequence[Mapping[str, Any]]) -> list[str] | None:
        """Return None when all was written, else one reason for each statement. Other errors are raised."""
        client = self._client
        try:
            client.transact_write_items(TransactItems=statements)
        except client.exceptions.TransactionCanceledException as error:
            reasons = [str(reason.get("Code", "None")) for reason in error.response.get("CancellationReasons", [])]
            if set(reasons) <= _RETRIED | {"None", "ConditionalCheckFailed"}:
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
        """Return up to `limit` items of a partition, sorted by sk; see the contract."""
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
            TableName=self._table, IndexName=INDEX_NAME, Limit=limit,
            KeyConditionExpression="gsi1pk = :pk AND gsi1sk < :until",
            ExpressionAttributeValues={":pk": {"S": partition}, ":until": {"S": until}},
        )  # fmt: skip
        return [Key(raw["pk"]["S"], raw["sk"]["S"]) for raw in answer["Items"]]


_RETRIED = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}


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
    """The names and values that one statement's expressions refer to."""

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
        return next(
            (placeholder for placeholder, known in self.names.items() if known == name), None
        ) or self._new_name(name)

    def _new_name(self, name: str) -> str:
        placeholder = f"#n{len(self.names)}"
        self.names[placeholder] = name
        return placeholder

    def _value(self, value: object) -> str:
        placeholder = f":v{len(self.values)}"
        self.values[placeholder] = _write(value)
        return placeholder


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
