"""The error classes: their codes are unique, and an error stays the same from one process to another."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import BY_CODE, BY_STATUS, BadRequest, Conflict, GlossaError, ReplicaError, from_problem
from tests.unit.shared.protocol.strategies import quick

KINDS = sorted(BY_CODE.values(), key=lambda kind: kind.code)
optional_text = st.none() | st.text(min_size=1)


@quick
@given(st.sampled_from(KINDS), st.text(min_size=1), optional_text, st.none() | st.floats(0, 86_400))
def test_every_error_survives_problem_details(
    kind: type[GlossaError], message: str, hint: str | None, retry_after_s: float | None
) -> None:
    """`from_problem` of `to_problem` keeps class, message, hint and seconds, through JSON."""
    sent = kind(message, hint=hint, retry_after_s=retry_after_s)
    got = from_problem(sent.status, json.loads(json.dumps(sent.to_problem())))
    assert type(got) is kind
    assert (got.message, got.hint, got.retry_after_s) == (message, hint, retry_after_s)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_each_class_has_its_own_code_and_a_fitting_status(kind: type[GlossaError]) -> None:
    """Each code belongs to one class. Only 429 and server errors can be retried."""
    assert BY_CODE[kind.code] is kind
    assert "code" in vars(kind)
    assert 400 <= kind.status <= 504
    assert not kind.retryable or kind.status == 429 or kind.status > 500


def test_each_status_stands_for_its_most_general_class() -> None:
    """A status without a code gives the first class that has this status."""
    assert all(kind.status == status for status, kind in BY_STATUS.items())
    assert set(BY_STATUS) == {kind.status for kind in KINDS}
    assert (BY_STATUS[400], BY_STATUS[409], BY_STATUS[502]) == (BadRequest, Conflict, ReplicaError)


def test_a_problem_has_the_fields_of_rfc_9457() -> None:
    """A problem has type, title, status, detail and instance, and our own fields."""
    problem = BY_CODE["too-large"]("got 700 texts, at most 512", hint="use a job").to_problem("/v1/x")
    assert problem == {
        "type": "urn:glossa:error:too-large",
        "title": "too large",
        "status": 413,
        "detail": "got 700 texts, at most 512",
        "code": "too-large",
        "retryable": False,
        "hint": "use a job",
        "instance": "/v1/x",
    }


PROBLEM = st.dictionaries(
    st.sampled_from(["code", "detail", "hint", "retry_after_s", "status", "x"]),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.lists(st.integers(), max_size=2),
)


@quick
@given(st.integers(400, 599), PROBLEM)
def test_any_foreign_problem_becomes_an_error(status: int, problem: dict[str, object]) -> None:
    """Any problem details of another server become an error with valid fields."""
    error = from_problem(status, problem)
    assert isinstance(error, GlossaError)
    assert {type(error.message), type(error.hint), type(error.retry_after_s)} <= {str, type(None), float}
    assert error.retry_after_s is None or 0 <= error.retry_after_s < 1e9


def test_an_unknown_code_is_a_replica_error() -> None:
    """A code of a newer or other server becomes a ReplicaError."""
    error = from_problem(418, {"code": "teapot"})
    assert type(error) is ReplicaError
    assert error.message == "the model server answered 418 without details"
