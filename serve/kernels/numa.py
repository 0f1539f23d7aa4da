"""Pins a replica to one NUMA node, on a machine that has several.

A core reads the memory of its own node faster than that of another, and each pass reads all weights. So the threads of
a replica stay on one node, and the first of them to write a page of weights puts it there. Replicas of one machine
divide the nodes among themselves by locked files, which a process that ends gives back. Must not know engines or Ray.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

SYS = Path("/sys/devices/system/node")  # node0/cpulist has "0-3,8-11", for example
TASKS = Path("/proc/self/task")
_held: list[int] = []  # locked files, open as long as the process lives


def nodes_of(tree: Path, allowed: Collection[int]) -> list[frozenset[int]]:
    """Return the cores of each NUMA node that this process may use. Nodes without any are absent."""
    lists = sorted(tree.glob("node[0-9]*/cpulist"), key=lambda path: int(path.parent.name.removeprefix("node")))
    cores = (frozenset(_numbers(path.read_text(encoding="ascii"))) & frozenset(allowed) for path in lists)
    return [node for node in cores if node]


def places(nodes: Sequence[frozenset[int]], n_threads: int) -> Iterator[tuple[int, int]]:
    """Yield node and place of each replica of `n_threads` that fits: one on every node, then a second one on each."""
    most = max((len(node) // n_threads for node in nodes), default=0)
    for place in range(most):
        yield from ((number, place) for number, node in enumerate(nodes) if (place + 1) * n_threads <= len(node))


def pin(
    n_threads: int,
    *,
    tree: Path = SYS,
    folder: Path | None = None,
    allowed: Collection[int] | None = None,
    set_cores: Callable[[frozenset[int]], None] | None = None,
) -> frozenset[int]:
    """Keep this process on a free NUMA node. Return the node's cores, or none when nothing was pinned.

    Nothing is pinned on a machine with one node, for a replica that no node can hold, and when all places are taken.
    """
    if allowed is None:
        allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    nodes = nodes_of(tree, allowed)
    if len(nodes) <= 1:
        return frozenset()
    folder = folder or Path(tempfile.gettempdir()) / f"glossa-numa-{os.getuid()}"
    for number, place in places(nodes, n_threads):
        if _take(folder, f"node{number}-{place}"):
            (set_cores or keep_on)(nodes[number])
            return nodes[number]
    return frozenset()


def keep_on(cores: frozenset[int]) -> None:
    """Keep all threads of this process on these cores. Threads that start later inherit it."""
    for task in TASKS.iterdir():
        try:
            os.sched_setaffinity(int(task.name), cores)
        except ProcessLookupError:  # a thread that has just ended
            continue


def _take(folder: Path, name: str) -> bool:
    """Lock a file of this name until the process ends. Return whether it was free, and ours to lock."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return False
        opened = os.open(folder / name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(opened)
        return False
    _held.append(opened)
    return True


def _numbers(text: str) -> Iterator[int]:
    """Yield the numbers of a list such as "0-3,8"."""
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
