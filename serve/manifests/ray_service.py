"""Puts the RayService together: the Serve configuration, the head, the groups of workers and how the cluster is kept.

Fields are those of KubeRay 1.7. Must not know models, or what is in a pod.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from serve.deployment_options import SIZE_CLASS_UNITS, size_class_resource
from serve.manifests.pods import OBJECT_STORE_BYTES, autoscaler, head_pod, worker_pod
from serve.manifests.worker_groups import WorkerGroup

NAME = "glossa"  # of the RayService and of its namespace


@dataclass(frozen=True)
class Cluster:
    """What a cluster is made with: images by their full names, Redis by its address, and the variables of all pods.

    `catalog_sha256` is the digest of the catalog's text. Groups with GPUs run `gpu_image`. `redis_address` is
    `host:port`, or `rediss://host:port` for TLS.
    """

    image: str
    gpu_image: str | None
    redis_address: str
    ray_version: str
    environment: dict[str, str]
    catalog_sha256: str


def ray_service(config: dict[str, Any], groups: Sequence[WorkerGroup], cluster: Cluster) -> dict[str, Any]:
    """Return the RayService. Raises ValueError when a group has GPUs and there is no image for them."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": NAME, "namespace": NAME, "labels": {"app.kubernetes.io/name": NAME}},
        "spec": {
            # A changed cluster is built beside the old one, which answers until the new one is ready.
            "upgradeStrategy": {"type": "NewCluster"},
            "rayClusterDeletionDelaySeconds": 120,
            "excludeHeadPodFromServeSvc": True,
            "serveConfigV2": yaml.safe_dump(config, sort_keys=False, width=120),
            "rayClusterConfig": {
                "rayVersion": cluster.ray_version,
                "enableInTreeAutoscaling": True,
                "autoscalerOptions": autoscaler(),
                "authOptions": {"mode": "token"},
                "gcsFaultToleranceOptions": {
                    "redisAddress": cluster.redis_address,
                    "redisPassword": {"valueFrom": {"secretKeyRef": {"name": "glossa-redis", "key": "password"}}},
                },
                "headGroupSpec": {
                    "rayStartParams": _start("0"),
                    "template": head_pod(cluster.image, cluster.environment, cluster.catalog_sha256),
                },
                "workerGroupSpecs": [_group(group, cluster) for group in groups],
            },
        },
    }


def to_yaml(manifest: dict[str, Any], header: str) -> str:
    """Write a manifest as YAML below comment lines. Texts of several lines stay readable."""
    text = yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=120)
    return "".join(f"# {line}\n" for line in header.splitlines()) + text


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the library calls it with a value
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def _group(group: WorkerGroup, cluster: Cluster) -> dict[str, Any]:
    if group.shape.gpus and cluster.gpu_image is None:
        raise ValueError(f"got no image for GPUs, expected --gpu-image: models of class {group.size_class} run on GPUs")
    image = cluster.gpu_image if group.shape.gpus and cluster.gpu_image else cluster.image
    resources = json.dumps({size_class_resource(group.size_class): SIZE_CLASS_UNITS})
    params = _start(str(group.shape.cpus)) | {"num-gpus": str(group.shape.gpus), "resources": json.dumps(resources)}
    return {
        "groupName": group.size_class,
        "replicas": group.min,
        "minReplicas": group.min,
        "maxReplicas": group.max,
        "rayStartParams": params,
        "template": worker_pod(group, image, cluster.environment, cluster.catalog_sha256),
    }


def _start(cpus: str) -> dict[str, str]:
    return {"num-cpus": cpus, "object-store-memory": str(OBJECT_STORE_BYTES)}
