"""Which applications an update touches."""

from __future__ import annotations

import pytest

from serve.application_changes import Changes, changes

RUNNING = {"a": "1", "b": "1", "front": "ab"}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"a": "1", "b": "1", "front": "ab"}, Changes((), (), ())),
        ({"front": "ab", "b": "1", "a": "1"}, Changes((), (), ())),
        ({"a": "1", "b": "1", "c": "1", "front": "abc"}, Changes(("c",), ("front",), ())),
        ({"a": "2", "b": "1", "front": "ab"}, Changes((), ("a",), ())),
        ({"b": "1", "front": "b"}, Changes((), ("front",), ("a",))),
        ({"c": "1", "a": "2", "front": "ac"}, Changes(("c",), ("a", "front"), ("b",))),
        ({}, Changes((), (), ("a", "b", "front"))),
    ],
    ids=["nothing", "order alone", "added", "changed", "removed", "all three", "all gone"],
)
def test_only_what_differs_is_named(wanted: dict[str, str], expected: Changes) -> None:
    """An application whose definition is the same is in no list, so it is left alone."""
    assert changes(RUNNING, wanted) == expected
