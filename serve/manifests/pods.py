"""Writes the pods of the Ray cluster: the head, and the workers of a group.

Names of secrets, volumes, labels and users are those that the other manifests and the image use. Must not know models.
"""

from __future__ import annotations

from typing import Any

from serve.deployment_options import NODE_DRAIN_S
from serve.manifests.serve_config import PORT
from serve.manifests.worker_groups import WorkerGroup

LABEL = "glossa-size-class"  # of a node, and key of its taint
# A changed catalog changes this annotation, and so the pods. The operator then builds a new cluster beside the old one.
CATALOG_SHA256 = "glossa-catalog-sha256"
USER = 10001
CATALOG, CALL_KEYS, CACHE = "/etc/glossa/catalog.toml", "/etc/glossa/call-keys", "/var/cache/glossa"
HEAD_CPUS, HEAD_MEMORY_GIB = 2, 8
OBJECT_STORE_BYTES = 100 * 2**20  # nothing large travels through the object store
SHARED_MEMORY = "256Mi"  # of which the object store is most
TMP_GIB, LOGS_GIB = 4, 2
CACHE_GIB = {"base": 20, "large": 40, "xl": 120}  # weights as they are stored; those of XXL have 43 GB in float32
GRACE_S = 120  # the notice that a spot machine gives
AGENT_PORT = 52365  # of Ray's agent, which says whether the node is well
START_PERIOD_S, START_LIMIT_S = 10, 86_400
METRICS_PORTS = {"metrics": 8080, "proxy-metrics": 9101}
SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
}
# Other nodes get a drain notice for this one: Serve starts its replicas elsewhere, and the proxies leave it out.
# Without it, calls that run here when the pod ends would be lost.
DRAIN = (
    "ray drain-node --reason DRAIN_NODE_REASON_PREEMPTION --reason-message 'the pod ends'"
    f" --deadline-remaining-seconds {NODE_DRAIN_S:.0f} || true; sleep {NODE_DRAIN_S:.0f}"
)


def head_pod(image: str, environment: dict[str, str], catalog_sha256: str) -> dict[str, Any]:
    """Return the template of the head's pod. It has no replicas, and the operator adds the autoscaler to it.

    It names no service account: the operator makes one that may change the cluster, which replicas may not.
    """
    container = {
        "name": "ray-head",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "ports": [
            {"containerPort": 6379, "name": "gcs"},
            {"containerPort": 8265, "name": "dashboard"},
            {"containerPort": METRICS_PORTS["metrics"], "name": "metrics"},
            # The head gets no calls. But the operator reads here which port the service of the workers has.
            {"containerPort": PORT, "name": "serve"},
        ],
        "env": _environment(environment),
        "resources": _resources(HEAD_CPUS, HEAD_MEMORY_GIB, TMP_GIB + LOGS_GIB),
        "securityContext": SECURITY,
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of this pod alone
            {"name": "ray-logs", "mountPath": "/tmp/ray"},  # noqa: S108 - likewise
            {"name": "shared-mem", "mountPath": "/dev/shm"},  # noqa: S108 - likewise
            {"name": "catalog", "mountPath": CATALOG, "subPath": "catalog.toml", "readOnly": True},
        ],
    }
    volumes = [_folder("tmp", f"{TMP_GIB}Gi"), _folder("ray-logs", f"{LOGS_GIB}Gi"), _shared_memory()]
    volumes.append(_catalog(catalog_sha256))
    metadata = {"labels": _labels("head"), "annotations": {CATALOG_SHA256: catalog_sha256}}
    return {"metadata": metadata, "spec": _pod("base", container, volumes)}


def worker_pod(group: WorkerGroup, image: str, environment: dict[str, str], catalog_sha256: str) -> dict[str, Any]:
    """Return the template of the pods of a worker group."""
    size_class, shape = group.size_class, group.shape
    gpus = {"nvidia.com/gpu": shape.gpus} if shape.gpus else {}
    container = {
        "name": "ray-worker",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "ports": [
            {"containerPort": PORT, "name": "serve"},
            *({"containerPort": port, "name": name} for name, port in METRICS_PORTS.items()),
        ],
        "env": _environment(environment | {"GLOSSA_CALL_KEYS_FILE": f"{CALL_KEYS}/keys.json"}),
        "resources": _resources(shape.cpus, shape.memory_gib, TMP_GIB + CACHE_GIB[size_class], gpus),
        # A worker of a new cluster gets no calls before every model of that cluster runs. A model that never starts
        # is no reason to end a worker of another one, so the limit is a day.
        "startupProbe": _probe(
            "/v2/health/ready",
            PORT,
            periodSeconds=START_PERIOD_S,
            timeoutSeconds=10,
            failureThreshold=START_LIMIT_S // START_PERIOD_S,
        ),
        # A worker without a replica has no proxy: it is not ready, and gets no calls. But it is alive.
        "readinessProbe": _probe("/-/healthz", PORT, initialDelaySeconds=10, periodSeconds=5, failureThreshold=2),
        "livenessProbe": _probe(
            "/api/healthz", AGENT_PORT, initialDelaySeconds=60, periodSeconds=10, failureThreshold=12
        ),
        "lifecycle": {"preStop": {"exec": {"command": ["/bin/sh", "-c", DRAIN]}}},
        "securityContext": SECURITY,
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of this pod alone
            {"name": "shared-mem", "mountPath": "/dev/shm"},  # noqa: S108 - likewise
            {"name": "cache", "mountPath": CACHE},
            {"name": "catalog", "mountPath": CATALOG, "subPath": "catalog.toml", "readOnly": True},
            {"name": "call-keys", "mountPath": CALL_KEYS, "readOnly": True},
        ],
    }
    volumes = [
        _folder("tmp", f"{TMP_GIB}Gi"),
        _shared_memory(),
        _folder("cache", f"{CACHE_GIB[size_class]}Gi"),
        _catalog(catalog_sha256),
        # Mounted as a folder, so that new keys arrive without a restart
        {"name": "call-keys", "secret": {"secretName": "glossa-call-keys", "defaultMode": 0o440}},
    ]
    spec = {
        "serviceAccountName": "glossa-replica",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "topologySpreadConstraints": [_over("topology.kubernetes.io/zone", size_class)],
        **_pod(size_class, container, volumes, with_gpu=bool(gpus)),
    }
    labels = _labels("worker") | {LABEL: size_class}
    return {"metadata": {"labels": labels, "annotations": {CATALOG_SHA256: catalog_sha256}}, "spec": spec}


def catalog_map(sha256: str) -> str:
    """Return the name of the ConfigMap that holds the catalog of this digest.

    Each catalog has its own. A pod of the old cluster that starts during an upgrade still gets the old catalog.
    """
    return f"glossa-catalog-{sha256[:12]}"


def autoscaler() -> dict[str, Any]:
    """Return the options of the autoscaler, which is a container of the head's pod."""
    return {
        "version": "v2",
        "upscalingMode": "Default",
        "idleTimeoutSeconds": 300,
        "imagePullPolicy": "IfNotPresent",
        "resources": {name: {"cpu": "500m", "memory": "1Gi"} for name in ("requests", "limits")},
        "securityContext": SECURITY,
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of this pod alone
            {"name": "ray-logs", "mountPath": "/tmp/ray"},  # noqa: S108 - likewise
        ],
    }


def _pod(size_class: str, container: dict[str, Any], volumes: list[dict[str, Any]], *, with_gpu: bool = False) -> Any:
    tolerations = [{"key": LABEL, "operator": "Equal", "value": size_class, "effect": "NoSchedule"}]
    if with_gpu:
        tolerations.append({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"})
    return {
        "enableServiceLinks": False,
        "nodeSelector": {LABEL: size_class},
        "tolerations": tolerations,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": volumes,
    }


def _labels(role: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": "glossa", "glossa-role": role}


def _environment(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in sorted(values.items())]


def _resources(cpus: int, memory_gib: int, disk_gib: int, gpus: dict[str, int] | None = None) -> dict[str, Any]:
    """Return requests that equal limits: the node then keeps all of it for this pod."""
    asked = {"cpu": str(cpus), "memory": f"{memory_gib}Gi", "ephemeral-storage": f"{disk_gib}Gi"}
    asked |= {name: str(count) for name, count in (gpus or {}).items()}
    return {"requests": asked, "limits": asked}


def _probe(path: str, port: int, **times: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": port}, "timeoutSeconds": 5, **times}


def _over(key: str, size_class: str) -> dict[str, Any]:
    """Spread the workers of a group over zones, but start one in a full zone rather than not at all."""
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {**_labels("worker"), LABEL: size_class}},
    }


def _folder(name: str, size: str) -> dict[str, Any]:
    return {"name": name, "emptyDir": {"sizeLimit": size}}


def _shared_memory() -> dict[str, Any]:
    return {"name": "shared-mem", "emptyDir": {"medium": "Memory", "sizeLimit": SHARED_MEMORY}}


def _catalog(sha256: str) -> dict[str, Any]:
    return {"name": "catalog", "configMap": {"name": catalog_map(sha256)}}
