"""Decides which groups of workers a cluster has: one for each size class that is used, large enough for its replicas.

Replicas are placed on workers in order of size, each on the first worker with room (first fit decreasing). The number
of workers that takes is the size of a group. Must not know Kubernetes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, get_args

from serve.manifests.demand import Demand
from shared.catalog import SizeClass

PARTS = 10_000  # in which Ray divides a CPU or a GPU
_NUMBER = re.compile(r"[0-9]{1,5}")
SPARE = 1  # workers beyond those that all replicas need, for replicas that move while a node is drained


class Shape(NamedTuple):
    """What one worker of a group has. A pod asks for it, so the machine has a little more."""

    cpus: int
    memory_gib: int
    gpus: int


# Each leaves room for the system on the smallest machine that it is meant for: c7i.2xlarge, g6.xlarge with an L4, and
# g6e.xlarge with an L40S. What pods can have there: 7.9 CPUs and 13.8 GiB, 3.9 and 13.8, 3.9 and 28.6
# (aws/karpenter-provider-aws, website/content/en/preview/reference/instance-types.md, commit 1d92708, 2026-08-21).
SHAPES: Mapping[SizeClass, Shape] = {"base": Shape(7, 12, 0), "large": Shape(3, 12, 1), "xl": Shape(3, 24, 1)}


@dataclass(frozen=True)
class WorkerGroup:
    """Workers of one size class: `min` hold the replicas that always run, `max` all that there may be."""

    size_class: SizeClass
    shape: Shape
    min: int
    max: int


@dataclass
class _Worker:
    """A worker while replicas are placed on it. CPUs and GPUs count in parts."""

    cpus: int
    gpus: list[int]
    held: Counter[str] = field(default_factory=Counter)

    def take(self, demand: Demand) -> bool:
        """Place one replica. Return whether it had room."""
        cpus, gpus = round(demand.cpus * PARTS), round(demand.gpus * PARTS)
        if cpus > self.cpus or (demand.per_node is not None and self.held[demand.name] >= demand.per_node):
            return False
        if gpus and not self._take_gpus(gpus):
            return False
        self.cpus -= cpus
        self.held[demand.name] += 1
        return True

    def _take_gpus(self, gpus: int) -> bool:
        n_whole = gpus // PARTS
        chosen = [i for i, free in enumerate(self.gpus) if free >= (PARTS if n_whole else gpus)][: max(1, n_whole)]
        if len(chosen) < max(1, n_whole):
            return False
        for i in chosen:
            self.gpus[i] -= PARTS if n_whole else gpus
        return True


def worker_groups(demands: Sequence[Demand], shapes: Mapping[SizeClass, Shape] = SHAPES) -> list[WorkerGroup]:
    """Return the groups for the replicas of all applications, in the order of the size classes.

    A group whose replicas use no GPU has none. Raises ValueError for a replica that fits on no worker of its class.
    """
    groups = []
    for size_class in get_args(SizeClass):
        members = [each for each in demands if each.size_class == size_class]
        if not members:
            continue
        shape = shapes[size_class]
        for each in members:
            _check_fits(each, shape)
        if not any(each.gpus for each in members):
            shape = shape._replace(gpus=0)
        least = n_workers([(each, each.min) for each in members], shape)
        most = n_workers([(each, each.max) for each in members], shape) + SPARE
        groups.append(WorkerGroup(size_class, shape, least, most))
    return groups


def n_workers(counts: Sequence[tuple[Demand, int]], shape: Shape) -> int:
    """Return how many workers of a shape hold so many replicas of each application."""
    workers: list[_Worker] = []
    for demand, count in sorted(counts, key=lambda each: (each[0].gpus, each[0].cpus), reverse=True):
        for _ in range(count):
            if not any(worker.take(demand) for worker in workers):
                workers.append(_Worker(shape.cpus * PARTS, [PARTS] * shape.gpus))
                workers[-1].take(demand)
    return len(workers)


def _check_fits(demand: Demand, shape: Shape) -> None:
    for asked, there, unit in ((demand.gpus, shape.gpus, "GPUs"), (demand.cpus, shape.cpus, "CPUs")):
        if asked > there:
            raise ValueError(
                f"got {asked:g} {unit} for a replica of {demand.name}, expected at most {there}, which is what a worker"
                f" of size class {demand.size_class} has; choose another class, or give"
                f" --worker {demand.size_class}=CPUS,MEMORY_GIB,GPUS"
            )


def parse_shape(text: str) -> tuple[SizeClass, Shape]:
    """Read `xl=15,200,1`: size class, CPUs, GiB of memory and GPUs of a worker. Raises ValueError."""
    size_class, _, numbers = text.partition("=")
    values = numbers.split(",")
    if (
        size_class not in get_args(SizeClass)
        or len(values) != len(Shape._fields)
        or not all(map(_NUMBER.fullmatch, values))
    ):
        raise ValueError(f"got worker {text!r}, expected CLASS=CPUS,MEMORY_GIB,GPUS with one of {get_args(SizeClass)}")
    shape = Shape(*map(int, values))
    if not shape.cpus or not shape.memory_gib:
        raise ValueError(f"got worker {text!r}, expected at least one CPU and one GiB")
    return size_class, shape  # type: ignore[return-value] # it is one of the literals, by the check above
