"""Fake engines that wait, break and refuse on command."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch

from serve.engine.fake import FakeEngine
from serve.rows.pack import Between
from serve.rows.row import Row, RowOutput, RowResult
from shared.catalog import Model
from shared.errors import ReplicaError

POISON = 13  # an id that breaks a whole pass
HELD = 15  # an id that a whole pass is held up for
BAD = 14  # an id that its row alone is refused for
LIMIT_S = 20.0


class GatedEngine(FakeEngine):
    """Waits in `forward` while `gate` is closed; tells of it through `entered`. Keeps the ids of every pass."""

    def __init__(self, model: Model, *, n_parallel: int = 1) -> None:
        super().__init__(model, n_parallel=n_parallel)
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.passes: list[list[list[int]]] = []
        self.threads: set[str] = set()

    def forward(self, rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
        """Answer as the fake does, when the gate is open."""
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
    """A row's output that notes which threads take a tensor out of it by name."""

    def __init__(self, output: RowOutput, readers: set[str]) -> None:
        super().__init__(output)
        self._readers = readers

    def __getitem__(self, name: str) -> torch.Tensor:
        """Note the thread, answer as a dict."""
        self._readers.add(threading.current_thread().name)
        return super().__getitem__(name)


class WideEngine(FakeEngine):
    """Answers every row with `n_bytes` of logits; `readers` are the threads that packed them."""

    def __init__(self, model: Model, n_bytes: int) -> None:
        super().__init__(model)
        self._n_bytes = n_bytes
        self.readers: set[str] = set()

    def forward(self, rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
        """Answer each row with zeros."""
        return [WatchedOutput({"logits": torch.zeros(1, self._n_bytes // 4)}, self.readers) for _ in rows]


class FaultyEngine(FakeEngine):
    """Breaks a pass that holds POISON, refuses a row that holds BAD; `is_dead` breaks every pass."""

    is_dead = False

    def forward(self, rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
        """Answer as the fake does, where nothing is planted."""
        if self.is_dead or any(POISON in row.input_ids.tolist() for row in rows):
            raise RuntimeError("planted")
        answers = super().forward(rows, between)
        return [
            ReplicaError("planted") if BAD in row.input_ids.tolist() else answer
            for row, answer in zip(rows, answers, strict=True)
        ]


class GatedFaultyEngine(GatedEngine, FaultyEngine):
    """Waits as the one does, then breaks and refuses as the other."""


class LaneEngine(FaultyEngine):
    """Two lanes; notes the threads that run passes at the same time as each pass, its own included."""

    def __init__(self, model: Model) -> None:
        super().__init__(model, n_parallel=2)
        self.together: list[frozenset[str]] = []
        self._running: set[str] = set()
        self._lock = threading.Lock()

    def forward(self, rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
        """Answer as the fake does, or fail as the faulty one."""
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


class HoldingEngine(LaneEngine):
    """Holds a pass with a row of HELD until `gate` is opened; tells of it through `entered`."""

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
    """Notes how many cores each thread that runs a pass has."""

    def __init__(self, model: Model, *, n_parallel: int = 1) -> None:
        super().__init__(model, n_parallel=n_parallel)
        self.cores: dict[str, int] = {}

    def forward(self, rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
        """Answer as the fake does."""
        self.cores[threading.current_thread().name] = torch.get_num_threads()
        return super().forward(rows, between)
