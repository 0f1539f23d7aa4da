"""Simulates an engine on more cores than this machine has, from its speed on one and two cores.

The work of a token has a part that all cores share evenly, and a part that one core does alone (Amdahl 1967).
Two speeds give both parts. Beyond two cores that is arithmetic, not measurement, and it assumes three things:

- The part of one core stays the same. More cores may wait longer for each other than two do.
- A pass of one core reads all weights once, and memory has `BANDWIDTH_BYTES_PER_S`. That bounds a node's tokens per
  second. Caches help, so the bound is pessimistic.
- A NUMA node has at most `CORES_A_NODE` cores, and one replica, whose threads stay on it. Nodes share nothing.

Latencies are those of passes that run on one core each, at 70 % load, in our order (benchmarks.load.queueing). Must not
know models or how speeds are measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from benchmarks.load.queueing import latencies
from serve.engine.parallel_passes import MIN_PASS_TOKENS

CORES = (1, 2, 4, 8, 16, 96)
BATCH_TOKENS = 4096  # the default of the catalog
CORES_A_NODE = 48  # of a processor with 96 cores in two nodes
BANDWIDTH_BYTES_PER_S = 200e9  # assumed for each node: about half of twelve channels of DDR5-4800
N_ROWS = 20_000
LOAD = 0.7


@dataclass(frozen=True, slots=True)
class Scaling:
    """The seconds of a token that one core does alone, those that cores share, and weights read a second (at most)."""

    alone_s: float
    shared_s: float
    weight_reads_per_s: float = math.inf

    def tokens_per_s(self, n_cores: int) -> float:
        """Return the tokens per second of all nodes that `n_cores` make, with one replica on each."""
        return sum(self.node_tokens_per_s(cores) for cores in nodes_of(n_cores))

    def node_tokens_per_s(self, n_cores: int) -> float:
        """Return the tokens per second of one replica on one node, whose cores share a full batch."""
        pass_tokens = max(BATCH_TOKENS / n_cores, MIN_PASS_TOKENS)
        return min(1 / (self.alone_s + self.shared_s / n_cores), self.weight_reads_per_s * pass_tokens)


def fitted(one_core: float, two_cores: float, weights_bytes: float = 0.0) -> Scaling:
    """Return the scaling that explains the tokens per second of one core and of two."""
    if one_core <= 0 or two_cores <= 0:
        raise ValueError(f"got {one_core:g} and {two_cores:g} tokens/s, expected speeds above 0")
    shared_s = min(2 * max(1 / one_core - 1 / two_cores, 0.0), 1 / one_core)  # more than twice as fast is noise
    reads = BANDWIDTH_BYTES_PER_S / weights_bytes if weights_bytes else math.inf
    return Scaling(1 / one_core - shared_s, shared_s, reads)


def nodes_of(n_cores: int) -> list[int]:
    """Return the cores of each node, as even as can be."""
    n_nodes = math.ceil(n_cores / CORES_A_NODE)
    return [n_cores // n_nodes + (number < n_cores % n_nodes) for number in range(n_nodes)]


def latencies_ms(
    scaling: Scaling,
    lengths: Sequence[int],
    n_cores: int,
    class_of: Callable[[int], str],
    *,
    slack: float,
    n_rows: int = N_ROWS,
) -> dict[str, tuple[float, float]]:
    """Return the median and the p99 of each class of length in ms, at 70 % load.

    Nodes are alike and get requests at random, so one node with its share says it for all.
    """
    cores = nodes_of(n_cores)[0]
    tokens_per_ms = scaling.node_tokens_per_s(cores) / cores / 1e3
    found: dict[str, list[float]] = {}
    for n_tokens, latency in latencies(lengths, n_parallel=cores, load=LOAD, order="due", slack=slack, n_rows=n_rows):
        found.setdefault(class_of(n_tokens), []).append(latency / tokens_per_ms)
    return {name: (median(times), quantiles(times, n=100)[-1]) for name, times in found.items()}
