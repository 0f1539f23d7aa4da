"""The operator does with the RayService what we mean: no demand of its code is broken, and a broken one is found."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from local.workspace import ROOT
from serve.cluster import OUT
from tests.unit.serve.manifests.kuberay_demands import DEMANDS, broken


@pytest.fixture(scope="module")
def service() -> Any:
    """Read the committed manifest."""
    return yaml.safe_load((ROOT / OUT).read_text(encoding="utf-8"))


def test_the_operator_takes_the_manifest(service: Any) -> None:
    """Each demand is met, and each names the lines of KubeRay that make it."""
    assert list(broken(service)) == []
    assert all(re.match(r"(common|utils)/\w+\.go:\d+", demand.source) for demand in DEMANDS)


def _without(name: str) -> Callable[[Any], None]:
    def spoil(service: Any) -> None:
        (container,) = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"]
        container["ports"] = [port for port in container["ports"] if port["name"] != name]

    return spoil


def _head(change: Callable[[Any], object]) -> Callable[[Any], object]:
    return lambda service: change(service["spec"]["rayClusterConfig"]["headGroupSpec"])


def _worker(change: Callable[[Any], object]) -> Callable[[Any], object]:
    return lambda service: change(service["spec"]["rayClusterConfig"]["workerGroupSpecs"][-1])


def _cluster(change: Callable[[Any], object]) -> Callable[[Any], object]:
    return lambda service: change(service["spec"]["rayClusterConfig"])


SPOILED: tuple[Callable[[Any], object], ...] = (  # one for each demand, in their order
    _without("serve"),
    _without("dashboard"),
    lambda service: service["metadata"].update(name="g" * 48),
    _cluster(lambda cluster: cluster["autoscalerOptions"].update(volumeMounts=[])),
    _worker(lambda group: group["template"]["spec"]["containers"][0].update(volumeMounts=[])),
    _worker(lambda group: group["template"]["spec"].update(restartPolicy="Always")),
    _head(lambda head: head["template"]["spec"]["containers"][0]["env"].append({"name": "REDIS_PASSWORD"})),
    _head(lambda head: head["rayStartParams"].update({"redis-password": "a"})),
    _worker(lambda group: group["rayStartParams"].update(labels="a=b")),
    _worker(lambda group: group.update(minReplicas=9)),
    _cluster(lambda cluster: cluster.update(rayVersion="2.51.0")),
    _cluster(lambda cluster: cluster["authOptions"].update(enableK8sTokenAuth=True)),
    _cluster(lambda cluster: cluster.update(upgradeStrategy={"type": "Recreate"})),
    lambda service: service["metadata"].update(annotations={"ray.io/ft-enabled": "true"}),
)


@pytest.mark.parametrize("i", range(len(DEMANDS)))
def test_a_broken_demand_is_found(service: Any, i: int) -> None:
    """Negative case: each demand has a manifest that breaks it, and it alone is reported."""
    assert len(SPOILED) == len(DEMANDS)
    spoiled = copy.deepcopy(service)
    SPOILED[i](spoiled)
    assert list(broken(spoiled)) == [f"{DEMANDS[i].says} ({DEMANDS[i].source})"]
