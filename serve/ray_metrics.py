"""Hands the metrics of replicas and of the front to Ray, which offers them to Prometheus on every node.

A thread reads the counts that a replica keeps anyway, every few seconds. So a call pays nothing for its metrics. Names
and dimensions come from shared.metrics. Imports Ray. Must not know how calls are answered.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ray.util import metrics as ray_metrics

from serve.application_states import replica_states
from shared.catalog import Catalog, Model
from shared.log import log_event
from shared.metrics import METRICS, RAY_PREFIX

EVERY_S = 5.0
LATENCY_BOUNDS_MS: list[float] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 120_000]
PERCENT = 100.0
GOES_AWAY = frozenset({"RUNNING", "STOPPING", "STOPPED"})  # states of a replica that is not missing, in Ray's words

Labels = dict[str, str]


class Instruments(Protocol):
    """Where values go: to Ray, or to a list in a test."""

    def add(self, name: str, value: float, labels: Labels) -> None:
        """Add to a counter."""
        ...

    def set(self, name: str, value: float, labels: Labels) -> None:
        """Set a gauge."""
        ...

    def observe(self, name: str, value: float, labels: Labels) -> None:
        """Give a histogram one value."""
        ...


class RayInstruments:
    """Makes an instrument of Ray for each metric of the registry when it is first used."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}  # instruments of Ray, which share no useful base class

    def add(self, name: str, value: float, labels: Labels) -> None:
        """Add to a counter."""
        if value > 0:  # Ray refuses to add nothing
            self._instrument(name, labels).inc(value, labels)

    def set(self, name: str, value: float, labels: Labels) -> None:
        """Set a gauge."""
        self._instrument(name, labels).set(value, labels)

    def observe(self, name: str, value: float, labels: Labels) -> None:
        """Give a histogram one value."""
        self._instrument(name, labels).observe(value, labels)

    def _instrument(self, name: str, labels: Labels) -> Any:
        if name not in self._made:
            metric, keys = METRICS[name], tuple(labels)
            if metric.kind == "histogram":
                made: Any = ray_metrics.Histogram(RAY_PREFIX + name, metric.meaning, LATENCY_BOUNDS_MS, keys)
            else:
                made = {"counter": ray_metrics.Counter, "gauge": ray_metrics.Gauge}[metric.kind](
                    RAY_PREFIX + name, metric.meaning, keys
                )
            self._made[name] = made
        return self._made[name]


class Measured(Protocol):
    """What is read of a replica."""

    model: Model
    refused: Mapping[str, int]
    latencies_ms: Any  # a deque, which other threads append to

    @property
    def runner(self) -> Any:
        """The runner, with its `counts` and `backlog_tokens`."""
        ...


class ReplicaMetrics:
    """Publishes what has changed in a replica since the last time."""

    def __init__(self, replica: Measured, instruments: Instruments) -> None:
        self._replica = replica
        self._instruments = instruments
        self._labels = {"model": replica.model.name}
        self._known: dict[tuple[str, ...], float] = {}
        instruments.add("replica_starts", 1, self._labels)

    def publish(self) -> None:
        """Publish once."""
        counts, labels = self._replica.runner.counts, self._labels
        n_tokens = self._more("replica_tokens", counts.n_tokens)
        n_batches = counts.n_batches - self._known.get(("batches",), 0)
        self._known[("batches",)] = counts.n_batches
        self._more("replica_calls", counts.n_answered)
        self._more("replica_broken_passes", counts.n_broken_passes)
        for code, n_refused in dict(self._replica.refused).items():
            self._more("replica_refused", n_refused, code)
        for _ in range(len(self._replica.latencies_ms)):
            self._instruments.observe("replica_latency_ms", self._replica.latencies_ms.popleft(), labels)
        self._instruments.set("replica_queue_tokens", self._replica.runner.backlog_tokens, labels)
        if n_batches > 0:
            fill = PERCENT * n_tokens / n_batches / self._replica.model.token_budget
            self._instruments.set("replica_batch_fill", fill, labels)

    def _more(self, name: str, total: float, code: str = "") -> float:
        """Add to a counter what a total has grown by; return that."""
        grown = total - self._known.get((name, code), 0)
        self._known[name, code] = total
        self._instruments.add(name, grown, {**self._labels, "code": code} if code else self._labels)
        return grown


class FrontMetrics:
    """Publishes how many replicas of each size class are wanted and do not run."""

    def __init__(
        self, size_classes: Mapping[str, str], states: Callable[[], Mapping[str, Mapping[str, int]]],
        instruments: Instruments,
    ) -> None:  # fmt: skip
        """`size_classes` has the class of each application. `states` counts the replicas of each one by state."""
        self._size_classes, self._states, self._instruments = size_classes, states, instruments

    def publish(self) -> None:
        """Publish once."""
        missing = dict.fromkeys(self._size_classes.values(), 0)
        for application, states in self._states().items():
            if application in self._size_classes:
                n_missing = sum(count for state, count in states.items() if state not in GOES_AWAY)
                missing[self._size_classes[application]] += n_missing
        for size_class, n_missing in missing.items():
            self._instruments.set("replicas_missing", n_missing, {"size_class": size_class})


def publishing(kind: type, start: Callable[[Any], Callable[[], None]]) -> type:
    """Return a subclass of `kind` whose instances publish metrics from a thread. `start` gives what publishes once."""

    class Publishing(kind):  # type: ignore[misc] # the class is a value here
        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, **named)
            threading.Thread(target=repeat, args=(start(self),), name="metrics", daemon=True).start()

    return Publishing


def repeat(publish: Callable[[], None], stop: threading.Event | None = None) -> None:
    """Publish every few seconds until `stop` is set. The first error is logged, and publishing goes on."""
    stop = stop or threading.Event()
    failed = False
    while not stop.is_set():
        try:
            publish()
        except Exception as error:  # noqa: BLE001 - metrics must not end with one question that Ray did not answer
            if not failed:
                log_event("metrics-not-published", level="warning", error_type=type(error).__name__)
            failed = True
        stop.wait(EVERY_S)


def replica_metrics(replica: Measured) -> Callable[[], None]:
    """Return what publishes the metrics of a replica once."""
    return ReplicaMetrics(replica, RayInstruments()).publish


def front_metrics(catalog: Catalog) -> Callable[[Any], Callable[[], None]]:
    """Return what makes the metrics of the front for a catalog."""
    size_classes = {model.name: model.size_class for model in catalog.models.values()}
    return lambda _: FrontMetrics(size_classes, replica_states, RayInstruments()).publish
