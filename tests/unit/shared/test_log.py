"""The log: one JSON line for each event, with allowed fields only."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.log import ALLOWED, log_event
from tests.unit.shared.protocol.strategies import quick

CANARY = "canary-3f9a-the-caller's-own-words"
fields = st.dictionaries(
    st.text("abcdefghij_", min_size=1, max_size=8).filter(
        lambda name: name not in ALLOWED | {"event", "level", "stream"}
    ),
    st.sampled_from([CANARY, CANARY.encode(), [CANARY], {"text": CANARY}, ValueError(CANARY)]),
    max_size=4,
)


def written(event: str, **known: object) -> str:
    """Return what an event writes."""
    stream = io.StringIO()
    log_event(event, stream=stream, **known)  # type: ignore[arg-type]  # level is a str when given
    return stream.getvalue()


@quick
@given(fields)
def test_a_text_never_reaches_the_log(unknown: dict[str, object]) -> None:
    """A field that is not allowed is dropped. Only its name is written."""
    line = written("answered", status=200, **unknown)
    assert "canary" not in line
    assert json.loads(line).get("dropped", []) == sorted(unknown)


def test_an_event_is_one_json_line() -> None:
    """The line has time, level, event and fields, even when a value has newlines."""
    line = written("answered", level="warning", reason="a\nb", n_rows=3)
    assert line.endswith("}\n")
    assert line.count("\n") == 1
    event = json.loads(line)
    assert event.pop("time") > 1e9
    assert event == {"level": "warning", "event": "answered", "reason": "a\nb", "n_rows": 3}


def test_values_are_cut() -> None:
    """A long reason is cut to 300 characters."""
    assert len(json.loads(written("failed", reason="x" * 10_000))["reason"]) == 300


@pytest.mark.parametrize("name", ["text", "inputs", "body", "url", "authorization", "token", "tenant", "key"])
def test_names_of_content_are_not_allowed(name: str) -> None:
    """Fields that could hold a caller's content are not on the list."""
    assert name not in ALLOWED


def test_allowed_fields_do_not_overwrite_fixed_fields() -> None:
    """No field overwrites time, level, event or dropped."""
    assert not ALLOWED & {"time", "level", "event", "dropped", "stream"}


@pytest.mark.parametrize("value", [[CANARY * 100], {"k": CANARY * 100}, ValueError(CANARY * 100)])
def test_any_value_is_bounded(value: object) -> None:
    """Lists, mappings and exceptions are cut as strings are."""
    assert len(written("failed", reason=value)) < 500
