"""Reads metrics in CloudWatch's embedded format from log lines, as CloudWatch does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Published:
    """One value of a metric under one set of dimensions. `dimensions` are pairs of name and value, sorted."""

    namespace: str
    name: str
    unit: str
    dimensions: tuple[tuple[str, str], ...]
    value: float


def published(lines: Iterable[Mapping[str, Any]]) -> Iterator[Published]:
    """Yield what CloudWatch would publish from parsed log lines. Raises KeyError for a line that breaks the format."""
    for line in lines:
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
            for names in directive["Dimensions"]:
                dimensions = tuple(sorted((name, line[name]) for name in names))
                for metric in directive["Metrics"]:
                    yield Published(
                        directive["Namespace"], metric["Name"], metric["Unit"], dimensions, line[metric["Name"]]
                    )


def json_lines(text: str) -> list[dict[str, Any]]:
    """Return the lines of a log that are JSON objects. The runtime writes other lines beside them."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
