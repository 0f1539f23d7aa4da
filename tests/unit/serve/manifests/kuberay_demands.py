"""What KubeRay 1.7.0 demands of a RayService beyond its schema, each with the lines of its source that say so.

A manifest that breaks one is accepted by Kubernetes, and then refused or misunderstood by the operator. Paths are below
`ray-operator/controllers/ray` of ray-project/kuberay at the tag v1.7.0. Must not know how the manifest is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

MANAGED = {  # variables of the head that the operator sets itself, or that stand for fields of the manifest
    "RAY_REDIS_ADDRESS",
    "REDIS_PASSWORD",
    "REDIS_USERNAME",
    "RAY_enable_autoscaler_v2",
    "KUBERAY_GEN_AUTOSCALER_START_CMD",
}
LOGS = "/tmp/ray"  # noqa: S108 - where Ray writes in its container
DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


class Demand(NamedTuple):
    """One demand: the lines that make it, what they demand, and whether a RayService meets it."""

    source: str
    says: str
    is_met: Callable[[Any], bool]


def broken(service: Any) -> Iterator[str]:
    """Yield each demand that a RayService does not meet, with its source."""
    for demand in DEMANDS:
        if not demand.is_met(service):
            yield f"{demand.says} ({demand.source})"


def _cluster(service: Any) -> Any:
    return service["spec"]["rayClusterConfig"]


def _head(service: Any) -> Any:
    return _cluster(service)["headGroupSpec"]["template"]["spec"]


def _groups(service: Any) -> list[Any]:
    return [_cluster(service)["headGroupSpec"], *_cluster(service)["workerGroupSpecs"]]


def _ports(service: Any) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in _head(service)["containers"][0].get("ports", [])}


def _mounts(container: Any) -> dict[str, str]:
    return {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}


def _shares_its_logs(service: Any) -> bool:
    """Say whether head and autoscaler mount one volume of the head's pod for the logs."""
    found = {_mounts(each).get(LOGS) for each in (_head(service)["containers"][0], _autoscaler(service))}
    return found <= {volume["name"] for volume in _head(service)["volumes"]} and len(found) == 1


def _autoscaler(service: Any) -> Any:
    return _cluster(service)["autoscalerOptions"]


def _version(service: Any) -> tuple[int, ...]:
    return tuple(int(part) for part in _cluster(service).get("rayVersion", "0").split("."))


DEMANDS = (
    Demand(
        "common/service.go:217-231 and 422-434",
        "the head container names a port `serve`, from which the service of the workers is made",
        lambda service: _ports(service).get("serve") == 8000,
    ),
    Demand(
        "utils/util.go:1033-1045, rayservice_controller.go:2014",
        "the head container names a port `dashboard`, at which the operator sends the Serve configuration",
        lambda service: _ports(service).get("dashboard") == 8265,
    ),
    Demand(
        "utils/validation.go:632-638, utils/constant.go:375-378",
        "the name is a DNS label of at most 47 characters",
        lambda service: (
            len(service["metadata"]["name"]) <= 47 and bool(DNS_LABEL.fullmatch(service["metadata"]["name"]))
        ),
    ),
    Demand(
        "common/pod.go:862-869 and 1551-1602",
        "head and autoscaler share a volume at /tmp/ray; else the operator adds one without size",
        _shares_its_logs,
    ),
    Demand(
        "common/pod.go:855-858 and 1551-1602",
        "each first container mounts /dev/shm; else the operator adds one as large as the memory of the pod",
        lambda service: all(
            "/dev/shm" in _mounts(group["template"]["spec"]["containers"][0])  # noqa: S108 - likewise
            for group in _groups(service)
        ),
    ),
    Demand(
        "utils/validation.go:226-235",
        "no pod has a restart policy but Never with version 2 of the autoscaler",
        lambda service: all(
            group["template"]["spec"].get("restartPolicy", "Never") == "Never" for group in _groups(service)
        ),
    ),
    Demand(
        "utils/validation.go:173-181, 192, 222, 253",
        "no variable stands for what a field of the manifest says",
        lambda service: not MANAGED & {each["name"] for each in _head(service)["containers"][0]["env"]},
    ),
    Demand(
        "utils/validation.go:168 and 192",
        "the user and the password of Redis are no parameters of `ray start`",
        lambda service: (
            not {"redis-password", "redis-username"} & _cluster(service)["headGroupSpec"]["rayStartParams"].keys()
        ),
    ),
    Demand(
        "utils/validation.go:60-75",
        "resources and labels of a group stand in one place: `labels` is no parameter of `ray start`",
        lambda service: all(
            "labels" not in group["rayStartParams"] and not group.get("resources") for group in _groups(service)
        ),
    ),
    Demand(
        "utils/validation.go:128-137",
        "no group has fewer workers than none, or more at least than at most",
        lambda service: all(
            0 <= group["minReplicas"] <= group["maxReplicas"] for group in _cluster(service)["workerGroupSpecs"]
        ),
    ),
    Demand(
        "utils/validation.go:284-298",
        "tokens need `rayVersion` 2.52.0 or later",
        lambda service: _version(service) >= (2, 52, 0),
    ),
    Demand(
        "utils/validation.go:681 and 689",
        "a RayService takes no tokens of Kubernetes, and no name for the service of the head",
        lambda service: (
            not _cluster(service)["authOptions"].get("enableK8sTokenAuth")
            and not _cluster(service)["headGroupSpec"].get("headService", {}).get("metadata", {}).get("name")
        ),
    ),
    Demand(
        "utils/validation.go:49-55 and 693-705",
        "the upgrade strategy stands in the RayService and not in its cluster, and no delay is negative",
        lambda service: (
            "upgradeStrategy" not in _cluster(service)
            and service["spec"]["upgradeStrategy"]["type"] in {"NewCluster", "None"}
            and service["spec"]["rayClusterDeletionDelaySeconds"] >= 0
        ),
    ),
    Demand(
        "utils/validation.go:153, common/pod.go:1178-1188",
        "no annotation turns on what a field says, and no label is one that the operator keeps to itself",
        lambda service: (
            not any(key.startswith("ray.io/") for key in service["metadata"].get("annotations", {}))
            and not any(
                key.startswith("ray.io/")
                for group in _groups(service)
                for key in group["template"]["metadata"]["labels"]
            )
        ),
    ),
)
