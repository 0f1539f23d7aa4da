"""Reads the alarms and dashboards of infra/observability.yaml: which metrics they use, with which dimensions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.metrics import NAMESPACE
from tests.unit.infra.stacks import resources, stack, text

SEARCH = re.compile(
    r"SEARCH\('\{(?P<names>[^}]+)\} MetricName=\"(?P<metric>\w+)\" stack=\"[^\"]+\"', '(?P<stat>\w+)', 300\)"
)
RUNBOOK = re.compile(r"docs/operations/[a-z-]+\.md")


@dataclass(frozen=True, slots=True)
class Used:
    """A metric of an alarm or widget. `dimensions` are pairs of name and value, which may be a `${Parameter}`."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the dimensions."""
        return tuple(name for name, _ in self.dimensions)


def alarms() -> dict[str, dict[str, Any]]:
    """Return the properties of each alarm by logical id."""
    found = resources(stack("observability"), "AWS::CloudWatch::Alarm")
    return {name: alarm["Properties"] for name, alarm in found.items()}


def metrics_of(alarm: Mapping[str, Any]) -> list[Used]:
    """Return the metrics that an alarm uses."""
    parts = [each["MetricStat"]["Metric"] for each in alarm.get("Metrics", []) if "MetricStat" in each]
    return [_used(part) for part in parts or [alarm]]


def on_dashboards() -> set[Used]:
    """Return our metrics that the dashboards show. `*` stands for all values of a dimension, as a search finds them."""
    return {used for body in dashboards().values() for used in _shown(body) if used.namespace == NAMESPACE}


def dashboards() -> dict[str, Any]:
    """Return the body of each dashboard by logical id."""
    found = resources(stack("observability"), "AWS::CloudWatch::Dashboard")
    return {name: json.loads(text(made["Properties"]["DashboardBody"])) for name, made in found.items()}


def _used(part: Mapping[str, Any]) -> Used:
    dimensions = sorted((each["Name"], text(each["Value"])) for each in part.get("Dimensions", []))
    return Used(part["Namespace"], part["MetricName"], tuple(dimensions))


def _shown(body: Mapping[str, Any]) -> Iterator[Used]:
    for widget in body["widgets"]:
        for row in widget["properties"]["metrics"]:
            if isinstance(row[0], str):
                words = [word for word in row if isinstance(word, str)]
                yield Used(words[0], words[1], tuple(sorted(zip(words[2::2], words[3::2], strict=True))))
            else:
                found = SEARCH.fullmatch(row[0]["expression"])
                if found is None:
                    raise ValueError(f"got the search {row[0]['expression']}, expected one of a metric of ours")
                namespace, *names = found["names"].split(",")
                yield Used(namespace, found["metric"], tuple((name, "*") for name in sorted(names)))
