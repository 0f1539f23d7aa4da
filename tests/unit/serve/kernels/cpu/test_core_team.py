"""One thread uses all cores, and every other thread uses one."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from serve.engine.parallel_passes import MIN_PASS_TOKENS
from serve.kernels.core_team import on_cores, one_core_each, take_cores, use_one_core
from serve.replica import Replica
from serve.rows.row import row_of
from shared.catalog import Model
from tests.unit.serve.engine.engines import LIMIT_S, CountingEngine


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def later_threads() -> int:
    """Return how many cores the products of a new thread use."""
    seen = []

    def work() -> None:
        torch.ones(256, 256) @ torch.ones(256, 256)
        seen.append(torch.get_num_threads())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return seen[0]


def test_a_thread_that_took_cores_keeps_them() -> None:
    """Threads that give up their cores do not change its number. Later threads have one core."""
    taken, left = threading.Event(), threading.Event()
    seen = []

    def engine() -> None:
        take_cores(2)
        taken.set()
        left.wait(10)
        seen.append(torch.get_num_threads())

    thread = threading.Thread(target=engine)
    thread.start()
    taken.wait(10)
    use_one_core()
    left.set()
    thread.join()
    assert seen == [2]
    assert torch.get_num_threads() == 1
    assert later_threads() == 1


def test_work_on_cores_is_done_on_a_thread_that_ends() -> None:
    """The value of the work is returned and its error raised, and its thread ends."""
    names = []
    assert on_cores(2, lambda: names.append(threading.current_thread().name) or torch.get_num_threads()) == 2
    assert names[0] not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(ValueError, match="planted"):
        on_cores(2, lambda: int("planted"))


def test_parallel_threads_have_one_core_and_the_caller_keeps_its_own() -> None:
    """A parallel thread has one core. The caller and later threads keep the number of the process."""
    torch.set_num_threads(2)

    def work(_: int) -> int:
        torch.ones(256, 256) @ torch.ones(256, 256)  # a product makes torch read its number of threads
        return torch.get_num_threads()

    with one_core_each(2) as threads:
        assert list(threads.map(work, range(8))) == [1] * 8
        assert torch.get_num_threads() == 2
        assert later_threads() == 2
    assert torch.get_num_threads() == 2


def test_a_replicas_parallel_passes_have_one_core_each(model: Model) -> None:
    """Parallel passes of concurrent calls have one core each. A single call uses all cores."""
    engine = CountingEngine(model, n_parallel=2)
    replica = Replica(model, lambda: engine, n_threads=2)
    rows = [row_of([5] * MIN_PASS_TOKENS, "topic")] * 8
    pending_call = replica.runner.submit(rows, deadline_s=1e9, priority="interactive", tenant="t")
    pending_call.future.result(LIMIT_S)
    assert replica.runner.drain(LIMIT_S)
    threads = {name: n_cores for name, n_cores in engine.cores.items() if name.startswith("core")}
    assert threads
    assert set(threads.values()) == {1}
    assert engine.cores["engine"] == 2


def test_in_a_replica_the_engines_thread_alone_has_the_cores(model: Model) -> None:
    """Warming up and passes use all cores of a replica. The thread of the event loop uses one."""
    engine = CountingEngine(model)
    replica = Replica(model, lambda: engine, n_threads=2)
    assert engine.cores == {"loading_0": 2, "engine": 2}
    assert torch.get_num_threads() == 1
    assert replica.runner.drain(LIMIT_S)
