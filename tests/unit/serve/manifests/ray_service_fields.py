"""The fields of a RayService that we set, as a closed list: name and kind of each, after KubeRay 1.7.

`unknown` finds what is not in the list, at any level. Pod templates are left to the schema of Kubernetes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

TEMPLATE = "a pod template, checked by kubernetes-validate"
QUANTITIES = {"requests": dict, "limits": dict}
FIELDS: Mapping[str, Any] = {
    "apiVersion": str,
    "kind": str,
    "metadata": {"name": str, "namespace": str, "labels": dict},
    "spec": {
        "upgradeStrategy": {"type": str},
        "rayClusterDeletionDelaySeconds": int,
        "excludeHeadPodFromServeSvc": bool,
        "serveConfigV2": str,
        "rayClusterConfig": {
            "rayVersion": str,
            "enableInTreeAutoscaling": bool,
            "autoscalerOptions": {
                "version": str,
                "upscalingMode": str,
                "idleTimeoutSeconds": int,
                "imagePullPolicy": str,
                "resources": QUANTITIES,
                "securityContext": dict,
                "volumeMounts": list,
            },
            "authOptions": {"mode": str},
            "gcsFaultToleranceOptions": {
                "redisAddress": str,
                "redisPassword": {"valueFrom": {"secretKeyRef": {"name": str, "key": str}}},
            },
            "headGroupSpec": {"rayStartParams": dict, "template": TEMPLATE},
            "workerGroupSpecs": [
                {
                    "groupName": str,
                    "replicas": int,
                    "minReplicas": int,
                    "maxReplicas": int,
                    "rayStartParams": dict,
                    "template": TEMPLATE,
                }
            ],
        },
    },
}


def unknown(value: object, fields: Any = FIELDS, at: str = "") -> Iterator[str]:
    """Yield the path of every field that is not in the list, or is of another kind, or is missing."""
    if fields == TEMPLATE:
        return
    if isinstance(fields, type):
        if type(value) is not fields:
            yield f"{at}: {type(value).__name__}, expected {fields.__name__}"
    elif isinstance(fields, list):
        if not isinstance(value, list):
            yield f"{at}: {type(value).__name__}, expected list"
            return
        for i, each in enumerate(value):
            yield from unknown(each, fields[0], f"{at}[{i}]")
    elif not isinstance(value, Mapping):
        yield f"{at}: {type(value).__name__}, expected mapping"
    else:
        for name in sorted(value.keys() | fields.keys()):
            if name not in fields or name not in value:
                yield f"{at}.{name}: {'unknown' if name in value else 'missing'}"
            else:
                yield from unknown(value[name], fields[name], f"{at}.{name}")
