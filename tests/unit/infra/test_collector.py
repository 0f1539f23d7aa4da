"""The collector renames and sends the metrics of replicas and the front alone, under the dimensions of the registry."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from shared.metrics import EXPORTED_NAME, FRONT, METRICS, NAMESPACE, REPLICA, Metric
from tests.unit.template import ROOT

CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "infra/metrics/collector.yaml").read_text(encoding="utf-8"))
OURS = {name: metric for name, metric in METRICS.items() if {REPLICA, FRONT} & set(metric.emitters)}


def exported(metric: Metric) -> str:
    """Return the name under which Ray offers a metric. tests/serve_live/test_metrics.py sees these names."""
    return f"ray_glossa_{metric.name}" + ("_total" if metric.kind == "counter" else "")


def sent_sets(name: str, config: dict[str, Any]) -> set[tuple[str, ...]]:
    """Return the sets of dimensions under which the exporter sends a metric."""
    declared = config["exporters"]["awsemf"]["metric_declarations"]
    found = [each for each in declared if any(re.search(pattern, name) for pattern in each["metric_name_selectors"])]
    return {tuple(names) for each in found for names in each["dimensions"]}


def test_each_metric_gets_its_name_of_the_registry() -> None:
    """Each metric is renamed from what Ray offers, and nothing else is."""
    renamed = {each["include"]: each["new_name"] for each in CONFIG["processors"]["metricstransform"]["transforms"]}
    assert renamed == {exported(metric): name for name, metric in OURS.items()}
    for before, after in renamed.items():
        match = EXPORTED_NAME.fullmatch(before)
        assert match is not None
        assert match[1] == after
    (scrape,) = CONFIG["receivers"]["prometheus"]["config"]["scrape_configs"]
    (kept,) = scrape["metric_relabel_configs"]
    assert all(re.fullmatch(kept["regex"], before) for before in renamed)


@pytest.mark.parametrize("name", OURS)
def test_each_metric_is_sent_under_its_dimensions(name: str) -> None:
    """The namespace and the dimensions are those that alarms and dashboards ask for."""
    assert CONFIG["exporters"]["awsemf"]["namespace"] == NAMESPACE
    assert sent_sets(name, CONFIG) == set(OURS[name].dimension_sets)


def test_a_forgotten_metric_would_be_seen() -> None:
    """A metric that no declaration names is sent under no dimensions, and the comparison fails."""
    assert sent_sets("replica_forgotten", CONFIG) == set()


def test_the_first_value_of_a_counter_counts() -> None:
    """Else the start of a replica, which is the first value of its counter, would never be seen."""
    exporter = CONFIG["exporters"]["awsemf"]
    assert exporter["retain_initial_value_of_delta_metric"] is True
    assert exporter["dimension_rollup_option"] == "NoDimensionRollup"
