"""Collects the figures of several rounds by metric and system. Must not know what was measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.reporting.report import Row, row_of


@dataclass(slots=True)
class Figures:
    """The figures of all rounds: metric -> system -> one figure a round."""

    found: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def note(self, metric: str, system: str, value: float) -> None:
        """Keep one figure."""
        self.found[metric][system].append(value)

    def median(self, metric: str) -> dict[str, float]:
        """Return the median of each system that has the metric."""
        return {system: row_of(system, metric, values).value for system, values in self.found.get(metric, {}).items()}

    def rows(self) -> Iterator[Row]:
        """Yield the row of each metric and system."""
        for metric, systems in self.found.items():
            yield from (row_of(system, metric, values) for system, values in systems.items())
