"""Works on the items of a stream on a few threads, and gives the results in the order of the items.

Must not know what the work is.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from threading import Event, Lock, Thread
from typing import TypeVar

T = TypeVar("T")
V = TypeVar("V")


def in_order(items: Iterator[T], work: Callable[[T], V], n_threads: int) -> Generator[V, None, None]:
    """Yield `work(item)` for each item, in order. Raises what an item or its work raised, in its place.

    An item is taken when a thread is free, so that no more than `n_threads` items and as many results are held. A
    result is given as soon as it is there, even while the next item is waited for. Once the results are closed, no work
    is left running: a thread within a library of C++ would abort the process at its end.
    """
    results: queue.Queue[Future[V] | None] = queue.Queue(n_threads)
    taking = Lock()
    closed = Event()
    working = [Lock() for _ in range(n_threads)]

    def run(mine: Lock) -> None:
        while True:
            result: Future[V] = Future()
            with taking:
                try:
                    item = next(items)
                except StopIteration:
                    results.put(None)
                    return
                except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
                    result.set_exception(error)
                    results.put(result)
                    return
                results.put(result)
            with mine:
                if closed.is_set():
                    return
                try:
                    result.set_result(work(item))
                except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
                    result.set_exception(error)

    for number, mine in enumerate(working):
        Thread(target=run, args=(mine,), daemon=True, name=f"glossa-work-{number}").start()
    try:
        while (each := results.get()) is not None:
            yield each.result()
    finally:
        closed.set()
        for mine in working:  # a thread that waits for an item is left: it may wait for ever
            with mine:
                pass
