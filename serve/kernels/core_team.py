"""Decides how many cores each thread of a replica uses: the engine's thread uses all, every other thread uses one.

OpenMP (libgomp) keeps a team of worker threads for every thread that ever ran a product on several cores. Between
products, these workers wait in a loop. As soon as a process has more workers than cores, libgomp lets them sleep
instead. Each product must then wake them, which on two cores and short passes costs a third of the throughput (D60).
This module must not know engines, rows or Ray.
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
    """Let the products of the calling thread run on `n_threads` cores."""
    torch.get_num_threads()  # the first call copies the number of the process to this thread
    torch.set_num_threads(n_threads)


def use_one_core() -> None:
    """Let the calling thread, and every thread that has run no product yet, use one core from now on."""
    torch.set_num_threads(1)


def on_cores(n_threads: int, work: Callable[[], V]) -> V:
    """Run `work` on `n_threads` cores and return its result. It runs on a thread that ends together with its team."""
    with ThreadPoolExecutor(1, "loading", initializer=take_cores, initargs=(n_threads,)) as passing:
        return passing.submit(work).result()


@contextmanager
def one_core_each(n_threads: int) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of threads with one core each.

    The number of cores of the caller and of later threads stays the same.
    """
    before = torch.get_num_threads()
    together = Barrier(n_threads + 1)
    with ThreadPoolExecutor(n_threads, "parallel-pass", initializer=take_cores, initargs=(1,)) as threads:
        for _ in range(n_threads):
            threads.submit(together.wait)
        together.wait()
        torch.set_num_threads(before)
        yield threads


def team_address() -> int:
    """Return the address of GOMP_parallel in this process, or 0 when there is none.

    With it, C code runs work on the OpenMP team of the calling thread. torch loads its libgomp for the whole process;
    with another OpenMP library loaded before, only the threads would be others.
    """
    process = ctypes.CDLL(None)
    if not hasattr(process, "GOMP_parallel"):
        return 0
    return ctypes.cast(process.GOMP_parallel, ctypes.c_void_p).value or 0
