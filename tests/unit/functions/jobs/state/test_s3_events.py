"""Both kinds of S3 events, from recorded events and with any key."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.jobs.state.s3_events import ObjectCreated, is_s3_event, parse_event
from tests.unit.functions.jobs.world import EVENTS

CREATED = ObjectCreated(
    "input", "t/local/inbox/topics/a+b %2Fü 日本.jsonl", 5, "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e",
    "b1946ac92492d2347c6235b4d2611184", "617f08299329d189",
)  # fmt: skip
KEY = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


def recorded(name: str) -> dict[str, Any]:
    """Read a recorded event."""
    read: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))
    return read


@pytest.mark.parametrize("name", ["eventbridge_created", "notification_created"])
def test_both_envelopes_give_the_same_object(name: str) -> None:
    """The plain key of EventBridge and the encoded key of a notification give the same key."""
    assert parse_event(recorded(name)) == (CREATED,)


@pytest.mark.parametrize(
    "name", ["eventbridge_tags_added", "eventbridge_deleted", "notification_removed", "test_event"]
)
def test_what_makes_no_object_gives_nothing(name: str) -> None:
    """Tag changes, delete markers and test events come from S3 and create no object."""
    assert is_s3_event(recorded(name))
    assert parse_event(recorded(name)) == ()


@pytest.mark.parametrize("name", ["eventbridge_unversioned", "notification_unversioned"])
def test_an_event_without_version_names_its_etag(name: str) -> None:
    """A bucket without versions sends such events."""
    [found] = parse_event(recorded(name))
    assert found == replace(CREATED, version=None)
    assert found.identity == CREATED.etag


def test_writes_of_one_key_come_in_their_order() -> None:
    """Sequencers are compared as numbers of any length and case. The records of an event may come in any order."""
    raw = recorded("notification_three_versions")
    for records in permutations(raw["Records"]):
        found = parse_event({"Records": list(records)})
        assert [(each.version, each.size_bytes) for each in found] == [("first", 5), ("second", 6), ("third", 7)]


@given(KEY)
def test_any_key_comes_through_both_envelopes(key: str) -> None:
    """Any key is read exactly as it is in the bucket."""
    raw, encoded = recorded("eventbridge_created"), recorded("notification_created")
    raw["detail"]["object"]["key"] = key
    encoded["Records"][0]["s3"]["object"]["key"] = quote_plus(key, safe="/")
    assert [each.key for each in parse_event(raw) + parse_event(encoded)] == [key, key]


@pytest.mark.parametrize(("version", "identity"), [("v1", "v1"), ("null", "e1"), (None, "e1"), ("", "e1")])
def test_identity_is_the_version_or_else_the_etag(version: str | None, identity: str) -> None:
    """Without a version, or with the value null, the etag is used, without its quotes."""
    raw = recorded("eventbridge_created")
    raw["detail"]["object"] |= {"version-id": version, "etag": '"e1"'}
    assert parse_event(raw)[0].identity == identity


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["aws.s3", "Object Created"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["source", "detail-type", "detail", "Records", "s3", "object", "bucket", "key", "eventName"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["source", "detail-type", "detail", "Records"]), JSON, max_size=4))
def test_any_json_object_is_read_without_fault(event: dict[str, Any]) -> None:
    """A body of any shape gives objects or nothing, and never an exception."""
    assert isinstance(parse_event(event), tuple)
