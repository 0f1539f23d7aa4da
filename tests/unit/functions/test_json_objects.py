"""What callers send is read as clients write it: null for what they leave out, and 1.0 for 1."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import ConfigDict, Field, ValidationError

from functions.json_objects import JsonObject


class Inner(JsonObject):
    """An object inside another."""

    size: int = 1


class Thing(JsonObject):
    """Fields with and without null as a value."""

    model_config = ConfigDict(strict=True)

    name: str
    top_k: Annotated[int, Field(ge=1)] | None = 1
    n: Annotated[int, Field(ge=1, le=9)] = 5
    share: float = 0.5
    layers: Annotated[list[int], Field(description="which", default_factory=list)]
    inner: Inner = Inner()


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"n": None, "share": None, "layers": None, "inner": None}, {}),
        ({"top_k": None}, {"top_k": None}),
        ({"n": 2.0, "top_k": 3.0, "layers": [1.0, -2.0]}, {"n": 2, "top_k": 3, "layers": [1, -2]}),
        ({"share": 1.0, "inner": {"size": 2.0}}, {"share": 1.0, "inner": {"size": 2}}),
    ],
)
def test_null_and_whole_numbers(given: dict[str, Any], read: dict[str, Any]) -> None:
    """A null is left out, unless it is a value of the field."""
    assert Thing.model_validate({"name": "a", **given}).model_dump(exclude_defaults=True) == {"name": "a", **read}


@pytest.mark.parametrize(
    "given", [{"n": 1.5}, {"n": True}, {"name": None}, {"strange": 1}, {"strange": None}, {"layers": [0.5]}, {"n": "1"}]
)
def test_what_is_wrong_stays_wrong(given: dict[str, Any]) -> None:
    """Only null and numbers without a fraction are read in a friendlier way."""
    with pytest.raises(ValidationError):
        Thing.model_validate({"name": "a", **given})


def test_the_schema_says_where_null_may_stand() -> None:
    """A field that may be left out takes null beside its values; one that is needed does not."""
    fields = Thing.model_json_schema()["properties"]
    null = {"type": "null"}
    assert fields["name"] == {"title": "Name", "type": "string"}
    assert fields["top_k"]["anyOf"] == [{"type": "integer", "minimum": 1}, null]
    assert fields["n"] == {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 9}, null], "default": 5, "title": "N"}
    assert fields["layers"]["anyOf"] == [{"items": {"type": "integer"}, "type": "array"}, null]
    assert fields["inner"]["anyOf"] == [{"$ref": "#/$defs/Inner"}, null]
    assert fields["layers"]["description"] == "which"
