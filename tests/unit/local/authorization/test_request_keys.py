"""Tests of finding the partition keys of a request."""

from __future__ import annotations

from typing import Any

import pytest

from local.authorization.request_keys import as_dict, leading_keys

KEY = {"pk": {"S": "t/a/jobs/1"}, "sk": {"S": "job"}}


@pytest.mark.parametrize(
    ("request_", "wanted"),
    [
        ({"TableName": "x", "Key": KEY}, ["t/a/jobs/1"]),
        ({"TableName": "x", "Item": {"count": {"N": "1"}, **KEY}}, ["t/a/jobs/1"]),
        ({"RequestItems": {"x": {"Keys": [KEY, {"pk": {"S": "t/b/jobs/2"}}]}}}, ["t/a/jobs/1", "t/b/jobs/2"]),
        (
            {
                "KeyConditionExpression": "#pk = :pk AND begins_with(#sk, :prefix)",
                "ExpressionAttributeNames": {"#pk": "pk", "#sk": "sk"},
                "ExpressionAttributeValues": {":pk": {"S": "t/a/jobs"}, ":prefix": {"S": "shard/"}},
            },
            ["t/a/jobs"],
        ),
        (
            {
                "KeyConditionExpression": "gsi1pk = :pk AND gsi1sk < :until",
                "ExpressionAttributeValues": {":pk": {"S": "due/01"}, ":until": {"S": "9"}},
            },
            ["due/01"],
        ),
        ({"TableName": "x"}, []),
    ],
)
def test_a_request_names_these_partitions(request_: dict[str, Any], wanted: list[str]) -> None:
    """Reads, writes, batches and queries each name the partitions that they are about."""
    assert leading_keys(request_) == wanted


@pytest.mark.parametrize(("body", "wanted"), [(b"", {}), (b"[1]", {}), (b"\xff", {}), (b'{"a": 1}', {"a": 1})])
def test_a_body_without_an_object_names_nothing(body: bytes, wanted: dict[str, Any]) -> None:
    """A body that is no JSON object is read as an empty one."""
    assert as_dict(body) == wanted
