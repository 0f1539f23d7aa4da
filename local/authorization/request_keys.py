"""Finds the partition keys that a request to DynamoDB names, as the condition key `dynamodb:LeadingKeys` has them.

Pure. Must not know the emulator, or what the keys mean.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

PARTITION_KEY = "pk"  # of a table with a sort key; in other tables the key has one attribute


def as_dict(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body, or an empty one when the body holds no object."""
    try:
        read = json.loads(body or b"{}")
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def leading_keys(request: Mapping[str, Any]) -> list[str]:
    """Return the partition keys that a request, or one statement of a transaction, names."""
    rows: list[Mapping[str, Any]] = [request.get("Key") or {}, request.get("Item") or {}]
    for table in (request.get("RequestItems") or {}).values():
        rows += table.get("Keys", [])
    return [_partition(row) for row in rows if row] + _queried(request)


def _partition(row: Mapping[str, Any]) -> str:
    """Return the partition key of an item or of a key."""
    name = PARTITION_KEY if PARTITION_KEY in row else next(iter(row))
    return str(next(iter(row[name].values())))


def _queried(request: Mapping[str, Any]) -> list[str]:
    """Return the partition key of a query. Its condition has the form `name = :value`, perhaps with further terms."""
    values = request.get("ExpressionAttributeValues") or {}
    for term in str(request.get("KeyConditionExpression", "")).split(" AND "):
        words = term.split()
        if len(words) == 3 and words[1] == "=":  # noqa: PLR2004 - a name, a sign and a value
            return [str(next(iter(values[words[2]].values())))]
    return []
