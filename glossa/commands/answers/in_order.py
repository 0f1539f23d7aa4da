"""Works on the items of a stream on a few threads, and gives the results in the order of the items.

Must not know what the work is.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from threading import Lock, Thread
from typing import TypeVar

T = TypeVar("T")
V = TypeVar("V")


def in_order(items: Iterator[T], work: Callable[[T], V], n_threads: int) -> Iterator[V]:
    """Yield `work(item)` for each item, in order. Raises what an item or its work raised, in its place.

    An item is taken when a thread is free, so that no more than `n_threads` items and as many results are held. A
    result is given as soon as it is there, even while the next item is waited for.
    """
    results: queue.Queue[Future[V] | None] = queue.Queue(n_threads)
    taking = Lock()

    def run() -> None:
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
            try:
                result.set_result(work(item))
            except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
                result.set_exception(error)

    for number in range(n_threads):
        Thread(target=run, daemon=True, name=f"glossa-work-{number}").start()
    while (each := results.get()) is not None:
        yield each.result()
