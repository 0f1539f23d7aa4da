"""What surrounds a request: its id, its deadline, and the Server-Timing header of its answer.

Must not know routes, bodies or tasks.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

DEADLINE_MARGIN_S = 1.5


class Context(Protocol):
    """The part of the Lambda context that we use."""

    @property
    def aws_request_id(self) -> str:
        """Id of the invocation."""
        ...

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the runtime ends this invocation."""
        ...


def deadline(context: Context, clock: Callable[[], float] = time.monotonic) -> float:
    """Return when this invocation's work must be over, in seconds on the monotonic clock."""
    return clock() + context.get_remaining_time_in_millis() / 1000 - DEADLINE_MARGIN_S


def server_timing(timings_s: Mapping[str, float]) -> str:
    """Return the value of a Server-Timing header: stage;dur=milliseconds, in the order given."""
    return ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in timings_s.items())


def request_id(event: Mapping[str, Any], context: Any) -> str:
    """Return the gateway's id of the request, else the runtime's; safe in a header and a log."""
    request_context = event.get("requestContext")
    known = request_context.get("requestId") if isinstance(request_context, Mapping) else None
    return re.sub(r"[^A-Za-z0-9._=-]", "", str(known or getattr(context, "aws_request_id", "")))[:64]
