"""Simulates replicas that answer calls: how long calls take when they come at random and replicas share them.

A replica takes the calls that wait, in their order, up to a budget of tokens, and answers them after one pass. Calls
wait in one queue, or each goes to the shorter of two random queues, as Ray Serve chooses replicas. Calls come at random
moments (Poisson). Everything follows from the seed. Must not know models, machines or prices.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Routing = Literal["one queue", "two choices"]
N_CALLS = 20_000


@dataclass(frozen=True, slots=True)
class Fleet:
    """Replicas of one speed. A pass takes `call_s` for each of its calls, and its tokens ÷ `tokens_per_s`.

    With `budget_tokens` of 1 each pass answers one call.
    """

    n_replicas: int
    tokens_per_s: float
    call_s: float = 0.0
    budget_tokens: int = 4096
    routing: Routing = "two choices"

    def pass_s(self, lengths: Sequence[int]) -> float:
        """Return how long a pass over calls of these lengths takes."""
        return self.call_s * len(lengths) + sum(lengths) / self.tokens_per_s

    def most_per_s(self, mean_tokens: float) -> float:
        """Return how many calls of this mean length all replicas answer in a second when they are never idle."""
        return self.n_replicas / (self.call_s + mean_tokens / self.tokens_per_s)


@dataclass(slots=True)
class _Queue:
    """Calls that wait, each with its arrival and its tokens, and how many calls are in passes."""

    waiting: deque[tuple[float, int]]
    n_running: int = 0

    @property
    def n_open(self) -> int:
        return len(self.waiting) + self.n_running


def latencies_s(
    lengths: Sequence[int], fleet: Fleet, *, per_s: float, n_calls: int = N_CALLS, seed: int = 0
) -> Iterator[float]:
    """Yield the seconds of each of `n_calls` calls, from arrival to answer, in the order of the answers.

    The lengths of calls are drawn from `lengths`. Raises ValueError when more comes than the fleet can answer, because
    no latency would be its own then.
    """
    most_per_s = fleet.most_per_s(sum(lengths) / len(lengths))
    if per_s >= most_per_s:
        raise ValueError(f"got {per_s:g} calls/s, expected fewer than the {most_per_s:g} that the fleet answers")
    chance = random.Random(seed)
    shared = fleet.routing == "one queue"
    queues = [_Queue(deque()) for _ in range(1 if shared else fleet.n_replicas)]
    idle: list[set[int]] = [set(range(fleet.n_replicas))] if shared else [{n} for n in range(fleet.n_replicas)]
    ends: list[tuple[float, int, int, list[float]]] = []  # of passes: time, replica, queue, arrivals of its calls
    arrival, n_come = chance.expovariate(per_s), 0
    while n_come < n_calls or ends:
        if n_come < n_calls and (not ends or arrival <= ends[0][0]):
            now_s, n_come = arrival, n_come + 1
            chosen = _choose(queues, chance)
            queues[chosen].waiting.append((now_s, chance.choice(lengths)))
            arrival = now_s + chance.expovariate(per_s)
        else:
            now_s, replica, chosen, arrivals = heapq.heappop(ends)
            idle[chosen].add(replica)
            queues[chosen].n_running -= len(arrivals)
            yield from (now_s - came_s for came_s in arrivals)
        while idle[chosen] and queues[chosen].waiting:
            heapq.heappush(ends, _begin(fleet, queues[chosen], now_s, idle[chosen].pop(), chosen))


def _choose(queues: Sequence[_Queue], chance: random.Random) -> int:
    """Return the shorter of two random queues."""
    if len(queues) == 1:
        return 0
    one, other = chance.sample(range(len(queues)), 2)
    return one if queues[one].n_open <= queues[other].n_open else other


def _begin(fleet: Fleet, queue: _Queue, now_s: float, replica: int, place: int) -> tuple[float, int, int, list[float]]:
    """Begin a pass over the calls that wait; return when it ends."""
    arrivals: list[float] = []
    lengths: list[int] = []
    while queue.waiting and (not lengths or sum(lengths) + queue.waiting[0][1] <= fleet.budget_tokens):
        came_s, n_tokens = queue.waiting.popleft()
        arrivals.append(came_s)
        lengths.append(n_tokens)
    queue.n_running += len(arrivals)
    return now_s + fleet.pass_s(lengths), replica, place, arrivals
