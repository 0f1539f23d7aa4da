"""Doubles of the model server for tests and for handlers that run without a server.

A test gives the function that makes the answers. This module must not know how answers are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from functions.replica.breaker_state import BreakerState
from functions.replica.breaker_store import InMemoryBreakers
from functions.replica.transport import NotConnected, Reply, ReplyTooLarge
from shared.messages import InferCall, ModelOutput
from shared.trace_context import TraceContext


@dataclass(frozen=True, slots=True)
class SentRequest:
    """One request that the transport was given. `timeout_s` is in seconds."""

    method: str
    path: str
    headers: Mapping[str, str]
    data: bytes
    timeout_s: float
    tenant: str | None = None


@dataclass
class FakeTransport:
    """A transport that answers each request with `respond(request)`, which may raise TransportError.

    `sent` holds all requests in order. `closed` counts the calls of `close`.
    """

    respond: Callable[[SentRequest], Reply]
    sent: list[SentRequest] = field(default_factory=list)
    closed: int = 0

    def send(
        self, method: str, path: str, headers: Mapping[str, str], data: bytes, *, timeout_s: float, max_bytes: int,
        tenant: str | None = None,
    ) -> Reply:  # fmt: skip
        """Answer with the function. Raises ReplyTooLarge as the real transport does."""
        request = SentRequest(method, path, headers, bytes(data), timeout_s, tenant)
        self.sent.append(request)
        reply = self.respond(request)
        if len(reply.data) > max_bytes:
            raise ReplyTooLarge(f"{len(reply.data)} bytes")
        return reply

    def close(self) -> None:
        """Count this call."""
        self.closed += 1


def in_turn(outcomes: Iterable[Reply | Exception]) -> Callable[[SentRequest], Reply]:
    """Return a function that gives the outcomes one after the other. An exception is raised.

    After the last outcome it raises NotConnected.
    """
    left = iter(outcomes)

    def respond(_: SentRequest) -> Reply:
        outcome = next(left, NotConnected("nothing listens"))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return respond


@dataclass
class FakeClock:
    """A clock that moves only when `pause` is called."""

    now_s: float = 1000.0
    pauses_s: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now_s

    def pause(self, seconds: float) -> None:
        """Move the clock forward, and keep the seconds in `pauses_s`."""
        self.pauses_s.append(seconds)
        self.now_s += seconds


@dataclass
class FakeReplica:
    """Takes the place of a ReplicaClient, and answers each call with `answer(call)` in this process."""

    answer: Callable[[InferCall], ModelOutput]
    up: bool = True
    measured_tokens_per_s: float | None = None
    respond: Callable[[SentRequest], Reply] = lambda _: Reply(200)

    def infer(
        self,
        calls: Iterable[InferCall],
        deadline_s: float,  # noqa: ARG002 - the signature of ReplicaClient
        *,
        request_id: str = "",  # noqa: ARG002 - likewise
        trace: TraceContext | None = None,  # noqa: ARG002 - likewise
        waits: bool = True,  # noqa: ARG002 - likewise
    ) -> list[ModelOutput]:
        """Answer the calls in order."""
        return [self.answer(call) for call in calls]

    def forward(
        self, method: str, path: str, headers: Mapping[str, str], data: bytes, *, tenant: str, deadline_s: float,
        max_bytes: int, model: str | None = None, request_id: str = "", trace: TraceContext | None = None,  # noqa: ARG002 - likewise
    ) -> Reply:  # fmt: skip
        """Answer an outside client with `respond`."""
        return self.respond(SentRequest(method, path, headers, data, deadline_s, tenant))

    def blocked_s(self, model: str) -> float:  # noqa: ARG002 - the signature of ReplicaClient
        """Return 0 while `up`, else 10 seconds."""
        return 0.0 if self.up else 10.0

    def tokens_per_s(self, model: str) -> float | None:  # noqa: ARG002 - the signature of ReplicaClient
        """Return `measured_tokens_per_s`."""
        return self.measured_tokens_per_s

    def ready(self) -> bool:
        """Return `up`."""
        return self.up

    def close(self) -> None:
        """Do nothing, because nothing is open."""


@dataclass
class FaultyBreakers:
    """A store of breakers that raises OSError whenever `fault()` says "before" or "after" the effect.

    `reads` and `writes` count what was asked, the faulty ones included.
    """

    store: InMemoryBreakers
    fault: Callable[[], Literal["none", "before", "after"]] = lambda: "none"
    reads: int = 0
    writes: int = 0

    def now_s(self) -> float:
        """Return the time of the store."""
        return self.store.now_s()

    def read(self, model: str) -> BreakerState | None:
        """Read, unless there is a fault."""
        self.reads += 1
        if self.fault() != "none":
            raise OSError("the store cannot be reached")
        return self.store.read(model)

    def swap(self, model: str, after: BreakerState, *, replaces: int) -> tuple[bool, BreakerState | None]:
        """Write, unless there is a fault before. A fault after it hides that it was written."""
        self.writes += 1
        fault = self.fault()
        if fault == "before":
            raise OSError("the store cannot be reached")
        answer = self.store.swap(model, after, replaces=replaces)
        if fault == "after":
            raise OSError("the answer of the store was lost")
        return answer
