"""The values of a run: what was sent, what came back, and when something was broken.

All times are seconds since the load began. Must not know who sends, or what is broken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

OK = 200
BUSY, UNAVAILABLE = 429, 503
FIRST_SERVER_ERROR = 500

Outcome = Literal["right", "wrong", "failed", "unsent"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One HTTP request. `status` is None when no response came. `retry_after_s` is what the response asked to wait."""

    begun_s: float
    ended_s: float
    status: int | None
    retry_after_s: float | None = None

    @property
    def seconds(self) -> float:
        """How long the caller waited for it."""
        return self.ended_s - self.begun_s

    @property
    def is_good(self) -> bool:
        """Whether it was answered."""
        return self.status == OK

    @property
    def is_refusal(self) -> bool:
        """Whether the service said that it takes no request now."""
        return self.status in {BUSY, UNAVAILABLE}

    @property
    def is_server_error(self) -> bool:
        """Whether an SLA counts it as an error: a status from 500 on. No response counts too."""
        return self.status is None or self.status >= FIRST_SERVER_ERROR


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the client, retries included. `due_s` is when it should have begun, `error` the code of its end.

    A call that was not sent, because too many were open, is `unsent`.
    """

    number: int
    due_s: float
    ended_s: float
    outcome: Outcome
    attempts: tuple[Attempt, ...] = ()
    error: str = ""

    @property
    def seconds(self) -> float:
        """How long the caller waited, from when the call was due."""
        return self.ended_s - self.due_s


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that was done to the stack. A `fault` breaks it, and `heals` ends that. `what` says it in words."""

    at_s: float
    what: str
    is_fault: bool = False
    heals: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """Memory and open files of one part of the stack, at one moment. All processes of the part count together."""

    at_s: float
    part: str
    rss_bytes: int
    n_files: int
    n_processes: int


@dataclass(frozen=True, slots=True)
class Job:
    """How the batch job of a scenario ended, and how many messages lie in dead letter queues."""

    state: str
    records: int
    rows: int
    dead_letters: int
    seconds: float


@dataclass(frozen=True)
class Seen:
    """Everything that was seen in one run of a scenario.

    The load is calm until `calm_s`, and what is broken is broken until `fault_ends_s`. `n_upstream` is the number of
    calls that reached the model server while the load ran. `peak_per_s` is what the stack answered at its best.
    """

    calls: Sequence[Call]
    happenings: Sequence[Happening]
    calm_s: float
    fault_ends_s: float
    ends_s: float
    n_upstream: int | None = None
    peak_per_s: float | None = None
    usage: Sequence[Usage] = ()
    job: Job | None = None
    notes: Mapping[str, float] | None = None
