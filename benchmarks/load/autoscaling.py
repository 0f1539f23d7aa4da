"""Simulates a number of replicas that follows the load, second by second, as Ray Serve's autoscaling does.

The load is a flow, not single calls. Ray counts open calls: it wants one replica for each `target_open` of them, and
waits before it changes anything. New replicas come after their machines and weights. What does not fit into the queues
is refused. Must not know models, machines or prices.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

STEP_S = 1.0
WAIT_S = 2.0  # a caller that waits longer is not well served


@dataclass(frozen=True, slots=True)
class Policy:
    """How the number of replicas follows the load. `ready_s` is from the wish for a replica to its first answer.

    `replica_per_s` is what one replica answers, `call_s` how long a lone call takes, `max_open` how many calls each
    replica holds before it refuses.
    """

    minimum: int
    maximum: int
    replica_per_s: float
    call_s: float
    target_open: float = 32.0
    upscale_delay_s: float = 10.0
    downscale_delay_s: float = 300.0
    ready_s: float = 120.0
    max_open: float = 256.0


@dataclass(frozen=True, slots=True)
class Second:
    """One second: calls that came, were answered and were refused in it; replicas, calls that wait, and their wait."""

    at_s: float
    came: float
    answered: float
    refused: float
    n_ready: int
    n_wanted: int
    waiting: float
    wait_s: float


def follow(load_per_s: Iterable[float], policy: Policy) -> Iterator[Second]:
    """Yield what becomes of each second of a load."""
    n_ready = n_wanted = policy.minimum
    coming: list[tuple[float, int]] = []  # when replicas get ready, and how many
    waiting = low_s = high_s = 0.0
    for number, came in enumerate(load_per_s):
        at_s = number * STEP_S
        n_ready += sum(count for ready_s, count in coming if ready_s <= at_s)
        coming = [each for each in coming if each[0] > at_s]
        room = max(0.0, n_ready * policy.max_open + n_ready * policy.replica_per_s * STEP_S - waiting)
        taken = min(came, room)
        answered = min(waiting + taken, n_ready * policy.replica_per_s * STEP_S)
        waiting += taken - answered
        n_open = waiting + answered / STEP_S * policy.call_s
        desired = min(policy.maximum, max(policy.minimum, math.ceil(n_open / policy.target_open)))
        high_s = high_s + STEP_S if desired > n_wanted else 0.0
        low_s = low_s + STEP_S if desired < n_wanted else 0.0
        if high_s >= policy.upscale_delay_s:
            coming.append((at_s + policy.ready_s, desired - n_wanted))
            n_wanted, high_s = desired, 0.0
        elif low_s >= policy.downscale_delay_s:
            n_wanted, low_s = desired, 0.0
            coming, n_ready = _without(coming, n_ready, desired)
        wait_s = waiting / (n_ready * policy.replica_per_s) if n_ready else math.inf if waiting else 0.0
        yield Second(at_s, came, answered, came - taken, n_ready, n_wanted, waiting, wait_s)


def _without(coming: Sequence[tuple[float, int]], n_ready: int, wanted: int) -> tuple[list[tuple[float, int]], int]:
    """Take away what is too much: first replicas that are not ready yet."""
    surplus = n_ready + sum(count for _, count in coming) - wanted
    left = []
    for ready_s, count in reversed(coming):
        gone = min(count, surplus)
        surplus -= gone
        if count > gone:
            left.append((ready_s, count - gone))
    return left[::-1], n_ready - surplus


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a load came to: the share that was refused, the longest wait, and how long callers waited over two seconds.

    `behind_s` counts each second in which something was refused or the wait was over two seconds.
    """

    refused_share: float
    longest_wait_s: float
    behind_s: float
    most_replicas: int


def outcome(seconds: Sequence[Second]) -> Outcome:
    """Sum up. Raises ValueError for no seconds."""
    if not seconds:
        raise ValueError("got no seconds, expected some")
    came = sum(each.came for each in seconds)
    return Outcome(
        refused_share=sum(each.refused for each in seconds) / came if came else 0.0,
        longest_wait_s=max(each.wait_s for each in seconds),
        behind_s=STEP_S * sum(each.refused > 0 or each.wait_s > WAIT_S for each in seconds),
        most_replicas=max(each.n_ready for each in seconds),
    )
