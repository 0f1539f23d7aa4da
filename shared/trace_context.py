"""The trace of a request, as W3C Trace Context has it: read from headers, taken over from X-Ray, or made anew.

One trace id goes from the API through the functions to the replica, and stands in the log of each. A header that does
not follow the standard (https://www.w3.org/TR/trace-context/) is dropped with all it says. The id of X-Ray,
`1-{8 hex digits}-{24}`, becomes a W3C id when its dashes are left out, as AWS documents. Must not know who logs.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
XRAY_HEADER = "x-amzn-trace-id"
MAX_STATE_CHARS, MAX_STATE_MEMBERS = 512, 32

_PARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace_id>[0-9a-f]{32})-(?P<span_id>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<rest>-.*)?",
    re.ASCII,
)
_XRAY_ROOT = re.compile(r"(?:^|;)\s*Root=1-([0-9a-f]{8})-([0-9a-f]{24})\s*(?:;|$)", re.ASCII)
_XRAY_SAMPLED = re.compile(r"(?:^|;)\s*Sampled=1\s*(?:;|$)", re.ASCII)
_MEMBER = re.compile(r"[a-z0-9][a-z0-9_*/@-]{0,255}=[!-+\--<>-~ ]{0,255}[!-+\--<>-~]", re.ASCII)
_NO_VERSION, _FIRST_VERSION, _SAMPLED = "ff", "00", 1


@dataclass(frozen=True, slots=True)
class TraceContext:
    """One trace, and the span of it that is ours. `sampled`: the caller records this trace, so we log its calls.

    `state` is the caller's `tracestate`. It goes on unchanged and is never logged.
    """

    trace_id: str
    span_id: str
    sampled: bool
    state: str = ""

    def headers(self) -> dict[str, str]:
        """Return the headers that carry the trace on."""
        parent = {TRACEPARENT: f"{_FIRST_VERSION}-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"}
        return parent | ({TRACESTATE: self.state} if self.state else {})


def new_trace(*, sampled: bool = True) -> TraceContext:
    """Return a trace that begins here."""
    return TraceContext(secrets.token_hex(16), secrets.token_hex(8), sampled)


def continue_trace(traceparent: str, tracestate: str = "", xray: str = "") -> TraceContext:
    """Return the trace of a request with a span of our own: its W3C trace, else that of X-Ray, else a new one."""
    given = read_trace(traceparent, tracestate)
    return _of_xray(xray) if given is None else replace(given, span_id=secrets.token_hex(8))


def read_trace(traceparent: str, tracestate: str = "") -> TraceContext | None:
    """Return the trace that the headers name, None when they do not follow the standard."""
    found = _PARENT.fullmatch(traceparent)
    if found is None or found["version"] == _NO_VERSION or (found["version"] == _FIRST_VERSION and found["rest"]):
        return None
    if not (int(found["trace_id"], 16) and int(found["span_id"], 16)):
        return None
    sampled = bool(int(found["flags"], 16) & _SAMPLED)
    return TraceContext(found["trace_id"], found["span_id"], sampled, _state(tracestate))


def _of_xray(header: str) -> TraceContext:
    root = _XRAY_ROOT.search(header)
    if root is None:
        return new_trace()
    return TraceContext(root[1] + root[2], secrets.token_hex(8), _XRAY_SAMPLED.search(header) is not None)


def _state(header: str) -> str:
    """Return a `tracestate` that follows the standard, "" for any other."""
    members = [member.strip(" \t") for member in header.split(",")]
    kept = [member for member in members if member]
    if len(header) > MAX_STATE_CHARS or len(kept) > MAX_STATE_MEMBERS or not all(map(_MEMBER.fullmatch, kept)):
        return ""
    return ",".join(kept)
