"""One thread of a replica has the cores of a CPU, the engine's: between products they spin. All others have one core.

libgomp keeps a team of threads for every thread that ever ran a product on several cores, and as soon as a process has
more of them than cores it lets none spin: each product then wakes its sleeping helpers through the kernel, which on two
cores and short passes costs a third of the throughput (D60). Must not know engines, rows or Ray.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import TypeVar

import torch

V = TypeVar("V")


def take_cores(n_threads: int) -> None:
    """Let the calling thread's products run on `n_threads` cores."""
    torch.get_num_threads()  # a thread takes over the process's number when it is first asked: not to be asked later
    torch.set_num_threads(n_threads)


def leave_cores() -> None:
    """Let the calling thread, and each that has run no product yet, use one core from now on."""
    torch.set_num_threads(1)


def on_cores(n_threads: int, work: Callable[[], V]) -> V:
    """Return what `work` returns, done on `n_threads` cores by a thread that ends and takes its team with it."""
    with ThreadPoolExecutor(1, "loading", initializer=take_cores, initargs=(n_threads,)) as passing:
        return passing.submit(work).result()


@contextmanager
def one_core_each(n_threads: int) -> Iterator[ThreadPoolExecutor]:
    """Yield threads of one core each; the number that the caller's thread and later ones use stays."""
    before = torch.get_num_threads()
    together = Barrier(n_threads + 1)
    with ThreadPoolExecutor(n_threads, "parallel-pass", initializer=take_cores, initargs=(1,)) as threads:
        for _ in range(n_threads):
            threads.submit(together.wait)
        together.wait()
        torch.set_num_threads(before)
        yield threads


def team_address() -> int:
    """Return where this process's GOMP_parallel is, by which C runs work on the calling thread's team; 0 without one.

    torch loads its libgomp for all; another OpenMP library before it would only lend threads of its own.
    """
    process = ctypes.CDLL(None)
    if not hasattr(process, "GOMP_parallel"):
        return 0
    return ctypes.cast(process.GOMP_parallel, ctypes.c_void_p).value or 0
