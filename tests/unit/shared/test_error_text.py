"""Error messages show values and expectations in the words of JSON, short and printable."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.error_text import count, expected, got, shown, visible


class Inner(BaseModel):
    """An object inside a body."""

    model_config = ConfigDict(strict=True)

    flag: bool = True


class Body(BaseModel):
    """A body with one field of each kind."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: Annotated[str, Field(min_length=1)] = "a"
    names: Annotated[list[str], Field(min_length=1, max_length=2)] = ["a"]
    pair: tuple[str, ...] = ()
    n: Annotated[int, Field(ge=1)] = 1
    x: float = 1.0
    inner: Inner = Inner()
    facts: dict[str, int] = {}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"name": None}, "null, a string"),
        ({"name": ""}, "'', at least 1 character"),
        ({"name": "\ud800"}, "'\\ud800', a string of whole characters"),
        ({"names": []}, "[], at least 1 item"),
        ({"names": ["a"] * 3}, "a list of 3, at most 2 items"),
        ({"names": "a"}, "'a', a list"),
        ({"pair": {"a": None}}, '{"a": null}, a list'),
        ({"n": True}, "true, a whole number"),
        ({"n": 1.5}, "1.5, a whole number"),
        ({"n": 0}, "0, greater than or equal to 1"),
        ({"x": "1"}, "'1', a number"),
        ({"inner": None}, "null, an object"),
        ({"inner": {"flag": 1}}, "1, true or false"),
        ({"facts": [True]}, "[true], an object"),
        ({"other": 1}, "an unknown field, only the documented ones"),
    ],
)
def test_an_error_is_in_our_words(body: dict[str, Any], message: str) -> None:
    """Each kind of error has its value and expectation, in our words instead of the library's."""
    with pytest.raises(ValidationError) as caught:
        Body.model_validate(body)
    [error] = caught.value.errors()
    assert f"{got(error)}, {expected(error)}" == message


def test_a_missing_value_is_nothing() -> None:
    """An absent value is called nothing."""
    with pytest.raises(ValidationError) as caught:
        Required.model_validate({})
    [error] = caught.value.errors()
    assert (got(error), expected(error)) == ("nothing", "a value")


class Required(BaseModel):
    """A body with a required field."""

    name: str


def test_values_are_short_and_printable() -> None:
    """Long values are cut. Names are escaped only where they must be."""
    assert len(shown("x" * 500)) == 80
    assert shown(["ü", None, (True, object)]).startswith('["\\u00fc", null, [true, "<class')
    assert (visible("/a/ü"), visible("/a\x00\n")) == ("/a/ü", "/a\\x00\\n")
    assert visible("/" * 500) == "/" * 79 + "…"
    assert (visible("/" * 80), visible("\n" + "/" * 80)) == ("/" * 80, "\\n" + "/" * 78 + "…")


def test_one_thing_is_no_plural() -> None:
    """One character, two characters, no characters."""
    assert [count(n, "character") for n in (0, 1, 2)] == ["0 characters", "1 character", "2 characters"]
