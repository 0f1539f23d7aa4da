"""What replicas and the front publish, with instruments that write down what they get."""

from __future__ import annotations

import threading
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from serve.ray_metrics import FrontMetrics, Labels, ReplicaMetrics, publishing, repeat
from serve.scheduling.pending_calls import Counts
from shared.catalog import Model
from shared.metrics import DIMENSIONS, FRONT, METRICS, REPLICA


class Written:
    """Instruments that write down every value."""

    def __init__(self) -> None:
        self.values: list[tuple[str, float, Labels]] = []

    def add(self, name: str, value: float, labels: Labels) -> None:
        """Write down what is added to a counter."""
        self._write("counter", name, value, labels)

    def set(self, name: str, value: float, labels: Labels) -> None:
        """Write down the value of a gauge."""
        self._write("gauge", name, value, labels)

    def observe(self, name: str, value: float, labels: Labels) -> None:
        """Write down a value of a histogram."""
        self._write("histogram", name, value, labels)

    def _write(self, kind: str, name: str, value: float, labels: Labels) -> None:
        metric = METRICS[name]
        assert metric.kind == kind
        assert tuple(labels) in metric.dimensions
        assert all(DIMENSIONS[key].fullmatch(each) for key, each in labels.items())
        self.values.append((name, value, labels))

    def last(self, name: str) -> float:
        """Return the last value of a metric."""
        return [value for each, value, _ in self.values if each == name][-1]


@pytest.fixture
def measured(model: Model) -> Any:
    """Make a replica that has answered three calls and refused one."""
    counts = Counts(n_answered=3, n_tokens=model.token_budget, n_batches=2, n_broken_passes=1)
    return SimpleNamespace(
        model=model, refused={"overloaded": 1}, latencies_ms=deque([4.0, 30.0]),
        runner=SimpleNamespace(counts=counts, backlog_tokens=77),
    )  # fmt: skip


def test_a_replica_publishes_every_metric_that_it_should(measured: Any) -> None:
    """Counts, refusals by code, latencies, queue and batch fill are published with the name of the model."""
    written = Written()
    ReplicaMetrics(measured, written).publish()
    assert {name for name, _, _ in written.values} == {name for name, m in METRICS.items() if REPLICA in m.emitters}
    assert ("replica_refused", 1, {"model": measured.model.name, "code": "overloaded"}) in written.values
    assert [value for name, value, _ in written.values if name == "replica_latency_ms"] == [4.0, 30.0]
    assert written.last("replica_batch_fill") == 50.0
    assert written.last("replica_queue_tokens") == 77


def test_a_counter_gets_only_what_is_new(measured: Any) -> None:
    """A second time adds what has happened since the first. A latency is observed once."""
    written = Written()
    published = ReplicaMetrics(measured, written)
    published.publish()
    measured.runner.counts.n_answered += 2
    written.values.clear()
    published.publish()
    assert written.last("replica_calls") == 2
    assert written.last("replica_refused") == 0
    assert "replica_latency_ms" not in [name for name, _, _ in written.values]
    assert "replica_batch_fill" not in [name for name, _, _ in written.values]  # no pass ran


def test_the_front_counts_missing_replicas_by_size_class() -> None:
    """Replicas that are wanted and do not run count for their size class. Those that stop do not."""
    written = Written()
    states = {
        "mini": {"RUNNING": 2},
        "big": {"RUNNING": 1, "STARTING": 2},
        "huge": {"STOPPING": 1},
        "candidate": {"STARTING": 9},
    }
    classes = {"mini": "base", "big": "large", "huge": "xl"}
    FrontMetrics(classes, lambda: states, written).publish()
    assert {labels["size_class"]: value for _, value, labels in written.values} == {"base": 0, "large": 2, "xl": 0}
    assert {name for name, _, _ in written.values} == {name for name, m in METRICS.items() if FRONT in m.emitters}


def test_an_error_does_not_end_publishing(capsys: pytest.CaptureFixture[str]) -> None:
    """When one publication fails, it is logged once, without the text of the error, and the next one is made."""
    stop, n_calls = threading.Event(), 0

    def publish() -> None:
        nonlocal n_calls
        n_calls += 1
        stop.set()
        raise RuntimeError("canary")

    repeat(publish, stop)
    assert n_calls == 1
    written = capsys.readouterr().out
    assert "metrics-not-published" in written
    assert "canary" not in written


def test_an_instance_publishes_from_a_thread() -> None:
    """A class that publishes is made as before, and a thread publishes what it has."""
    published = threading.Event()

    class Plain:
        def __init__(self, value: int) -> None:
            self.value = value

    instance = publishing(Plain, lambda made: published.set if made.value == 7 else pytest.fail)(7)
    assert published.wait(10.0)
    assert instance.value == 7
