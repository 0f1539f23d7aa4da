"""The log of calls: trace and request ids of the functions, and never a word of a stranger."""

from __future__ import annotations

import json
from typing import Any

import pytest

from functions.replica.fake import FakeClock
from serve.http.routes import LOG_PAUSE_S, CallLog
from shared.errors import GlossaError, Overloaded, ReplicaError

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "x-request-id": "c6af9ac6-7b61"}
UNSAMPLED = {**SAMPLED, "traceparent": SAMPLED["traceparent"][:-1] + "0"}


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the lines that were logged since the last call."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_call_of_a_recorded_trace_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """Its line has the ids that the function logs for the same request."""
    CallLog("toy", FakeClock()).note(SAMPLED, 0.0, "25bf8e1a2393f110")
    (line,) = lines(capsys)
    assert (line["event"], line["model"], line["status"], line["level"]) == ("call", "toy", 200, "info")
    assert (line["trace_id"], line["request_id"]) == (TRACE, "c6af9ac6-7b61")
    assert line["tenant_hash"] == "25bf8e1a2393f110"
    assert "dropped" not in line


@pytest.mark.parametrize("headers", [UNSAMPLED, {}, {"traceparent": "text"}])
def test_other_answered_calls_are_not_logged(headers: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each call would fill the disk of a replica."""
    CallLog("toy", FakeClock()).note(headers, 0.0, None)
    assert lines(capsys) == []


def test_every_failure_here_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """Also those that come at once, and those of traces that nobody records."""
    log = CallLog("toy", FakeClock())
    for _ in range(3):
        log.note(UNSAMPLED, 0.0, None, GlossaError("planted"))
    found = lines(capsys)
    assert [(line["level"], line["code"], line["trace_id"]) for line in found] == [("error", "internal", TRACE)] * 3


@pytest.mark.parametrize("error", [None, Overloaded("full")])
def test_answers_and_refusals_are_logged_ten_times_a_second(
    error: GlossaError | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """No load and no stranger can fill the disk."""
    clock = FakeClock()
    log = CallLog("toy", clock)
    for _ in range(5):
        log.note(SAMPLED, 0.0, None, error)
    clock.now_s += LOG_PAUSE_S
    log.note(SAMPLED, 0.0, None, error)
    log.note(SAMPLED, 0.0, None, ReplicaError("planted"))
    found = [line["level"] for line in lines(capsys)]
    assert (len(found), found[-1]) == (3, "error")


def test_text_in_an_id_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """A stranger's request id may be anything."""
    log = CallLog(None, FakeClock())
    log.note({"x-request-id": "CANARY of a stranger", "traceparent": "CANARY"}, 0.0, None, Overloaded("full"))
    (line,) = lines(capsys)
    assert (line["request_id"], line["trace_id"]) == (None, None)
