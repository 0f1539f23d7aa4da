"""Items are worked on at the same time, and their results keep the order of the items."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from threading import Barrier, Event, Timer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glossa.commands.answers.in_order import in_order

WAIT_S = 30


@given(items=st.lists(st.integers(), max_size=40), n_threads=st.integers(1, 4))
def test_results_keep_the_order(items: list[int], n_threads: int) -> None:
    """Each item has one result, in its place."""
    assert list(in_order(iter(items), lambda item: item * 2, n_threads)) == [item * 2 for item in items]


def test_items_are_worked_on_at_the_same_time() -> None:
    """Two threads meet in their work, which one thread alone could not."""
    meeting = Barrier(2, timeout=WAIT_S)
    assert sorted(in_order(iter([1, 2]), lambda _: meeting.wait(), 2)) == [0, 1]


def test_a_result_is_given_before_the_next_item_is_there() -> None:
    """A slow source does not hold back what is done."""
    given_first = Event()

    def items() -> Iterator[int]:
        yield 1
        assert given_first.wait(WAIT_S)
        yield 2

    results = in_order(items(), lambda item: item, 2)
    assert next(results) == 1
    given_first.set()
    assert list(results) == [2]


def test_few_items_are_taken_ahead() -> None:
    """Without a reader of the results no more than twice the threads are held, so that memory does not grow."""
    taken: queue.Queue[int] = queue.Queue()

    def items() -> Iterator[int]:
        for i in range(100):
            taken.put(i)
            yield i

    results = in_order(items(), lambda item: item, 2)
    assert next(results) == 0
    assert taken.qsize() <= 6
    assert list(results) == list(range(1, 100))


def test_an_error_is_raised_in_its_place() -> None:
    """Results before it are given; it is that of the work or of the source."""

    def work(item: int) -> int:
        if item == 2:
            raise ValueError("two")
        return item

    results = in_order(iter([0, 1, 2, 3]), work, 2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)

    def broken() -> Iterator[int]:
        yield 0
        raise OSError("gone")

    results = in_order(broken(), work, 2)
    assert next(results) == 0
    with pytest.raises(OSError, match="gone"):
        next(results)


def test_once_closed_no_work_is_left_running() -> None:
    """A thread that works in C++ while the interpreter ends would abort the process."""
    begun, may_end = Event(), Event()
    ended: list[int] = []

    def work(item: int) -> int:
        if item:
            begun.set()
            assert may_end.wait(WAIT_S)
            ended.append(item)
        return item

    results = in_order(iter([0, 1]), work, 2)
    assert next(results) == 0
    assert begun.wait(WAIT_S)
    Timer(0.2, may_end.set).start()
    results.close()
    assert ended == [1]


def test_closing_does_not_wait_for_an_item() -> None:
    """The source may be a terminal where nobody types."""
    typed = Event()

    def items() -> Iterator[int]:
        yield 0
        typed.wait(WAIT_S)
        yield 1

    worked: list[int] = []
    results = in_order(items(), lambda item: worked.append(item) or item, 2)
    assert next(results) == 0
    results.close()
    assert not typed.is_set()
    typed.set()
    assert worked == [0]
