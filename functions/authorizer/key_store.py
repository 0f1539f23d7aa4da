"""Where API keys are stored: one DynamoDB table, and a store in memory of the same contract.

Reads are strongly consistent, so that a revoked key is refused at the next look. DynamoDB deletes expired keys by
itself. Must not know how a key is made or checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

from shared.error_text import shown

MAX_TIME_S = 253_402_300_799  # the end of the year 9999


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is stored of a key. Times are in epoch seconds. `sha256` is the digest of the whole key."""

    id: str
    sha256: str
    name: str
    tenant: str
    scopes: tuple[str, ...]
    created_s: int
    expires_s: int
    revoked_s: int | None = None


class KeyStore(Protocol):
    """The stored keys, each under its id."""

    def get(self, key_id: str) -> ApiKey | None:
        """Return a key, or None. Raises ValueError for an item that is no key of ours."""
        ...

    def add(self, key: ApiKey) -> None:
        """Store a new key. Raises ValueError when its id is taken."""
        ...

    def revoke(self, key_id: str, now_s: int) -> bool:
        """Mark a key as revoked; return whether it exists. The time of the first call stays."""
        ...

    def all(self) -> Iterator[ApiKey]:
        """Yield all keys, in no order. Raises ValueError as `get`."""
        ...


@dataclass
class InMemoryKeys:
    """Keys in a dict."""

    keys: dict[str, ApiKey] = field(default_factory=dict)

    def get(self, key_id: str) -> ApiKey | None:
        """Return a key, or None."""
        return self.keys.get(key_id)

    def add(self, key: ApiKey) -> None:
        """Store a new key."""
        if key.id in self.keys:
            raise ValueError(f"got a key with the id {key.id}, which is taken")
        self.keys[key.id] = key

    def revoke(self, key_id: str, now_s: int) -> bool:
        """Mark a key as revoked; return whether it exists."""
        found = self.keys.get(key_id)
        if found is not None and found.revoked_s is None:
            self.keys[key_id] = replace(found, revoked_s=now_s)
        return found is not None

    def all(self) -> Iterator[ApiKey]:
        """Yield all keys."""
        return iter(self.keys.values())


class DynamoDbKeys:
    """Keys in a DynamoDB table. `make_client` is called at the first use."""

    def __init__(self, table: str, make_client: Callable[[], Any]) -> None:
        self._table = table
        self._make_client = make_client

    @cached_property
    def _client(self) -> Any:
        return self._make_client()

    def get(self, key_id: str) -> ApiKey | None:
        """Return a key, or None."""
        answer = self._client.get_item(TableName=self._table, Key={"id": {"S": key_id}}, ConsistentRead=True)
        return _read(answer["Item"]) if "Item" in answer else None

    def add(self, key: ApiKey) -> None:
        """Store a new key."""
        client = self._client
        try:
            client.put_item(TableName=self._table, Item=_write(key), ConditionExpression="attribute_not_exists(id)")
        except client.exceptions.ConditionalCheckFailedException:
            raise ValueError(f"got a key with the id {key.id}, which is taken") from None

    def revoke(self, key_id: str, now_s: int) -> bool:
        """Mark a key as revoked; return whether it exists."""
        client = self._client
        try:
            client.update_item(
                TableName=self._table,
                Key={"id": {"S": key_id}},
                UpdateExpression="SET revoked_s = if_not_exists(revoked_s, :now)",
                ConditionExpression="attribute_exists(id)",
                ExpressionAttributeValues={":now": {"N": str(now_s)}},
            )
        except client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def all(self) -> Iterator[ApiKey]:
        """Yield all keys."""
        start: dict[str, Any] = {}
        while True:
            page = self._client.scan(TableName=self._table, ConsistentRead=True, **start)
            yield from (_read(item) for item in page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def open_keys(table: str) -> KeyStore:
    """Return the keys in the DynamoDB table of this name. boto3 reads endpoint, region and credentials."""
    return DynamoDbKeys(table, _client)


def _client() -> Any:
    import boto3  # noqa: PLC0415 - takes 300 ms, which only a caller with a key needs to pay
    from botocore.config import Config  # noqa: PLC0415 - likewise

    retries = {"mode": "standard", "total_max_attempts": 3}
    return boto3.client("dynamodb", config=Config(retries=retries, connect_timeout=1, read_timeout=2))


def _write(key: ApiKey) -> dict[str, Any]:
    fields = {name: value for name, value in asdict(key).items() if value is not None}
    return {name: _value(value) for name, value in fields.items()}


def _value(value: object) -> dict[str, Any]:
    if isinstance(value, int):
        return {"N": str(value)}
    return {"L": [{"S": each} for each in value]} if isinstance(value, tuple) else {"S": value}


def _read(item: Mapping[str, Any]) -> ApiKey:
    try:
        return ApiKey(
            id=item["id"]["S"],
            sha256=item["sha256"]["S"],
            name=item["name"]["S"],
            tenant=item["tenant"]["S"],
            scopes=tuple(each["S"] for each in item["scopes"]["L"]),
            created_s=_seconds(item["created_s"]),
            expires_s=_seconds(item["expires_s"]),
            revoked_s=_seconds(item["revoked_s"]) if "revoked_s" in item else None,
        )
    except (KeyError, TypeError, ValueError):
        found = shown(item.get("id", {}).get("S", ""))
        raise ValueError(
            f"got an item with the id {found} that is no key of ours, expected one that `glossa keys create` made; "
            "delete it from the table"
        ) from None


def _seconds(value: Mapping[str, str]) -> int:
    """Return a time of the table. Raises KeyError, ValueError for what is no time that a clock can show."""
    seconds = int(value["N"])
    if not 0 <= seconds <= MAX_TIME_S:
        raise ValueError("not a time")
    return seconds
