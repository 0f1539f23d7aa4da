"""JSON is parsed strictly, and an error says what is wrong and where."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.strict_json import JsonError, lone_surrogate_at, parse, whole, whole_numbers

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_what_json_writes_is_read_back(value: object) -> None:
    """Every finite value that the standard library writes is parsed to an equal value."""
    assert parse(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "kind", "token"),
    [
        ("{", "syntax", "Expecting property name enclosed in double quotes"),
        ('{"a": 1, "b": 2, "a": 3}', "repeated-key", "a"),
        ("[NaN]", "not-finite", "NaN"),
        ("[-Infinity]", "not-finite", "-Infinity"),
        ("1e999", "out-of-range", "1e999"),
        ("[" * 100_000, "too-deep", ""),
        ("1" * 5_000, "too-many-digits", ""),
    ],
)
def test_what_is_not_strict_json_is_named(text: str, kind: str, token: str) -> None:
    """The kind and the token of the error say what is wrong."""
    with pytest.raises(JsonError) as caught:
        parse(text)
    assert (caught.value.kind, caught.value.token) == (kind, token)


def test_a_repeated_key_is_counted() -> None:
    """The error counts the keys of the object, and how many are different."""
    with pytest.raises(JsonError) as caught:
        parse('[{"a": 1, "a": 2, "b": 3}]')
    assert (caught.value.n_keys, caught.value.n_different) == (3, 2)


def test_a_syntax_error_has_its_place() -> None:
    """`position` counts characters of the text, and `column` counts those of its line."""
    with pytest.raises(JsonError) as caught:
        parse('{\n  "a" 1}')
    assert (caught.value.position, caught.value.column) == (8, 7)


def test_constants_and_infinite_numbers_pass_where_they_are_allowed() -> None:
    """A caller may allow NaN, Infinity and numbers that are too large for a double."""
    found = parse("[NaN, 1e999]", constants=True, infinite=True)
    assert isinstance(found, list)
    assert math.isnan(found[0])
    assert found[1] == math.inf


@pytest.mark.parametrize(("text", "at"), [("", None), ("a\U0001f600", None), ("ab\ud800c", 2), ("\udfff", 0)])
def test_a_lone_surrogate_is_found(text: str, at: int | None) -> None:
    """The first code point that UTF-8 cannot hold is found by its place."""
    assert lone_surrogate_at(text) == at


def test_a_number_without_a_fraction_is_whole() -> None:
    """Everything else stays as it is, also a boolean, and a number that no integer is."""
    for value, expected in ((1.0, 1), (-0.0, 0), (1.5, 1.5), ("1.0", "1.0"), (True, True), (None, None)):
        assert (whole(value), type(whole(value))) == (expected, type(expected))
    assert whole(float("inf")) == float("inf")


def test_a_value_of_json_has_its_whole_numbers_anywhere() -> None:
    """Lists and objects are read to their ends."""
    assert repr(whole_numbers({"a": [1.0, [2.0, 2.5]], "b": 3.0})) == "{'a': [1, [2, 2.5]], 'b': 3}"
