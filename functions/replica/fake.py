"""Doubles of the model server, shipped beside the client: a transport that answers from a function.

For tests and for the front doors without a server. Must not know how answers are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from functions.replica.transport import NotConnected, Reply, ReplyTooLarge
from shared.messages import InferCall, ModelOutput


@dataclass(frozen=True, slots=True)
class Sent:
    """One request as the transport got it."""

    method: str
    path: str
    headers: Mapping[str, str]
    data: bytes
    timeout_s: float


@dataclass
class FakeTransport:
    """Answers each request with `respond(request)`, which may raise TransportError; remembers all in `sent`."""

    respond: Callable[[Sent], Reply]
    sent: list[Sent] = field(default_factory=list)
    closed: int = 0

    def send(
        self, method: str, path: str, headers: Mapping[str, str], data: bytes, *, timeout_s: float, max_bytes: int
    ) -> Reply:
        """Answer as the function says; raises ReplyTooLarge as the real one does."""
        request = Sent(method, path, headers, bytes(data), timeout_s)
        self.sent.append(request)
        reply = self.respond(request)
        if len(reply.data) > max_bytes:
            raise ReplyTooLarge(f"{len(reply.data)} bytes")
        return reply

    def close(self) -> None:
        """Count it."""
        self.closed += 1


def in_turn(outcomes: Iterable[Reply | Exception]) -> Callable[[Sent], Reply]:
    """Respond with each outcome in turn (an exception is raised); past the last there is no server."""
    left = iter(outcomes)

    def respond(_: Sent) -> Reply:
        outcome = next(left, NotConnected("nothing listens"))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return respond


@dataclass
class FakeClock:
    """A clock that moves only when something pauses on it."""

    now_s: float = 1000.0
    pauses_s: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now_s

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        self.pauses_s.append(seconds)
        self.now_s += seconds


@dataclass
class FakeReplica:
    """Stands where a ReplicaClient does: answers each call with `answer(call)`, in this process."""

    answer: Callable[[InferCall], ModelOutput]
    up: bool = True
    measured_tokens_per_s: float | None = None

    def infer(self, calls: Iterable[InferCall], deadline_s: float, *, request_id: str = "") -> list[ModelOutput]:  # noqa: ARG002 - the client's signature
        """Answer the calls in order."""
        return [self.answer(call) for call in calls]

    def blocked_s(self, model: str) -> float:  # noqa: ARG002 - the client's signature
        """Say 0 while up."""
        return 0.0 if self.up else 10.0

    def tokens_per_s(self, model: str) -> float | None:  # noqa: ARG002 - the client's signature
        """Say what was set."""
        return self.measured_tokens_per_s

    def ready(self) -> bool:
        """Say what `up` says."""
        return self.up

    def close(self) -> None:
        """Nothing is open."""
