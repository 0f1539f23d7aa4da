"""Trace contexts: the headers of the standard are read and written, X-Ray's is taken over, all others are dropped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.trace_context import TraceContext, continue_trace, new_trace, read_trace

# The example of the standard, https://www.w3.org/TR/trace-context/#examples-of-http-traceparent-headers
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
XRAY = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
HEX = "0123456789abcdef"


def test_the_example_of_the_standard_is_read() -> None:
    """Trace, span, flag and state come back as they were sent."""
    found = read_trace(PARENT, "rojo=00f067aa0ba902b7, congo=t61rcWkgMzE")
    assert found == TraceContext(TRACE, SPAN, sampled=True, state="rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
    assert found.headers() == {"traceparent": PARENT, "tracestate": found.state}


@given(st.text(HEX, min_size=32, max_size=32), st.text(HEX, min_size=16, max_size=16), st.booleans())
def test_what_is_written_is_read(trace_id: str, span_id: str, sampled: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    """Headers of a trace give the same trace, unless an id is all zeros."""
    trace = TraceContext(trace_id, span_id, sampled)
    valid = bool(int(trace_id, 16) and int(span_id, 16))
    assert read_trace(trace.headers()["traceparent"]) == (trace if valid else None)


@pytest.mark.parametrize(
    "header",
    ["", "00", PARENT[:-1], PARENT + "0", PARENT + "-x", PARENT.upper(), f"ff-{TRACE}-{SPAN}-01", PARENT + "\n",
     f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"0g-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-1x",
     f" {PARENT}", "Die Wahl ist heute"],
)  # fmt: skip
def test_a_header_that_breaks_the_standard_begins_a_new_trace(header: str) -> None:
    """It is dropped with its state, so no text of a caller goes on."""
    assert read_trace(header) is None
    made = continue_trace(header, "a=b")
    assert made.trace_id != TRACE
    assert made.state == ""


def test_a_newer_version_is_read_as_far_as_it_is_known() -> None:
    """As the standard demands, what follows the known fields is ignored."""
    found = read_trace(f"01-{TRACE}-{SPAN}-03-more")
    assert found is not None
    assert (found.trace_id, found.sampled) == (TRACE, True)


@pytest.mark.parametrize(
    ("header", "kept"),
    [("a=1,,b=2", "a=1,b=2"), ("t@v=x", "t@v=x"), ("a=b=c", ""), ("A=1", ""), ("a", ""), ("a=é", ""), ("a=1\n", ""),
     (",".join(f"a{i}=1" for i in range(33)), ""), ("a=" + "x" * 511, "")],
)  # fmt: skip
def test_a_state_is_kept_when_it_follows_the_standard(header: str, kept: str) -> None:
    """Any other is dropped; the trace itself goes on."""
    found = read_trace(PARENT, header)
    assert found is not None
    assert (found.trace_id, found.state) == (TRACE, kept)


def test_a_trace_goes_on_with_a_span_of_our_own() -> None:
    """The trace of the caller comes before that of X-Ray."""
    found = continue_trace(PARENT, "a=1", XRAY)
    assert (found.trace_id, found.sampled, found.state) == (TRACE, True, "a=1")
    assert found.span_id != SPAN


@pytest.mark.parametrize(("sampled", "header"), [(True, XRAY), (False, XRAY.replace("Sampled=1", "Sampled=0"))])
def test_the_trace_of_x_ray_goes_on(*, sampled: bool, header: str) -> None:
    """Its id is the W3C id without dashes."""
    found = continue_trace("", xray=header)
    assert (found.trace_id, found.sampled) == ("5759e988bd862e3fe1be46a994272793", sampled)


@given(st.text(max_size=100), st.text(max_size=100), st.text(max_size=100))
def test_any_headers_give_a_trace(parent: str, state: str, xray: str) -> None:
    """Whatever comes, the result follows the standard."""
    found = continue_trace(parent, state, xray)
    assert read_trace(found.headers()["traceparent"], found.state) == found


def test_new_traces_differ() -> None:
    """Their ids are random."""
    assert new_trace() != new_trace()
