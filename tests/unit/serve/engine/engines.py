"""Fake engines that wait, fail and refuse rows on command."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch

from serve.engine.fake import FakeEngine
from serve.rows.pack import Between
from serve.rows.row import Row, RowOutput, RowResult
from shared.catalog import Model
from shared.errors import ReplicaError

POISON = 13  # an id for which a whole pass fails
HELD = 15  # an id for which a whole pass waits
BAD = 14  # an id for which only its own row is refused
LIMIT_S = 20.0


class GatedEngine(FakeEngine):
    """Waits in `forward` while `gate` is closed, and sets `entered`. It keeps the ids of every pass."""

    def __init__(self, model: Model, *, n_parallel: int = 1) -> None:
        super().__init__(model, n_parallel=n_parallel)
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.passes: list[list[list[int]]] = []
        self.threads: set[str] = set()

    def forward(self, rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
        """Answer as the fake engine does, when the gate is open."""
        self.entered.set()
        assert self.gate.wait(LIMIT_S)
        self.passes.append([row.input_ids.tolist() for row in rows])
        self.threads.add(threading.current_thread().name)
        return super().forward(rows, between)

    def shut(self) -> None:
        """Make the next pass wait."""
        self.entered.clear()
        self.gate.clear()


class WatchedOutput(dict[str, torch.Tensor]):
    """A row's output that records which threads read a tensor from it by name."""

    def __init__(self, output: RowOutput, readers: set[str]) -> None:
        super().__init__(output)
        self._readers = readers

    def __getitem__(self, name: str) -> torch.Tensor:
        """Record the thread, then answer as a dict."""
        self._readers.add(threading.current_thread().name)
        return super().__getitem__(name)


class WideEngine(FakeEngine):
    """Answers every row with `n_bytes` of logits. `readers` are the threads that packed them."""

    def __init__(self, model: Model, n_bytes: int) -> None:
        super().__init__(model)
        self._n_bytes = n_bytes
        self.readers: set[str] = set()

    def forward(self, rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
        """Answer each row with zeros."""
        return [WatchedOutput({"logits": torch.zeros(1, self._n_bytes // 4)}, self.readers) for _ in rows]


class FaultyEngine(FakeEngine):
    """Fails a pass with POISON and refuses a row with BAD. With `is_dead`, every pass fails."""

    is_dead = False

    def forward(self, rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
        """Answer as the fake engine does, unless a failure is asked for."""
        if self.is_dead or any(POISON in row.input_ids.tolist() for row in rows):
            raise RuntimeError("planted")
        answers = super().forward(rows, between)
        return [
            ReplicaError("planted") if BAD in row.input_ids.tolist() else answer
            for row, answer in zip(rows, answers, strict=True)
        ]


class GatedFaultyEngine(GatedEngine, FaultyEngine):
    """Waits like the first engine, then fails and refuses like the second."""


class ParallelEngine(FaultyEngine):
    """Runs two passes in parallel.

    It records the threads that run passes at the same time as each pass, itself included.
    """

    def __init__(self, model: Model) -> None:
        super().__init__(model, n_parallel=2)
        self.together: list[frozenset[str]] = []
        self._running: set[str] = set()
        self._lock = threading.Lock()

    def forward(self, rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
        """Answer as the fake engine does, or fail as the faulty engine does."""
        name = threading.current_thread().name
        with self._lock:
            self._running.add(name)
            self.together.append(frozenset(self._running))
        try:
            return self._pass(rows, between)
        finally:
            with self._lock:
                self._running.remove(name)

    def _pass(self, rows: Sequence[Row], between: Between | None) -> list[RowResult]:
        return super().forward(rows, between)


class HoldingEngine(ParallelEngine):
    """Holds a pass with a row of HELD until `gate` is open, and sets `entered`."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.gate = threading.Event()
        self.entered = threading.Event()

    def _pass(self, rows: Sequence[Row], between: Between | None) -> list[RowResult]:
        if any(HELD in row.input_ids.tolist() for row in rows):
            self.entered.set()
            assert self.gate.wait(LIMIT_S)
        return super()._pass(rows, between)


class CountingEngine(FakeEngine):
    """Records the number of cores of each thread that runs a pass."""

    def __init__(self, model: Model, *, n_parallel: int = 1) -> None:
        super().__init__(model, n_parallel=n_parallel)
        self.cores: dict[str, int] = {}

    def forward(self, rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
        """Answer as the fake engine does."""
        self.cores[threading.current_thread().name] = torch.get_num_threads()
        return super().forward(rows, between)
