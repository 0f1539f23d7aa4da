"""Every field of the RayService: a closed list of names, the schema of pods, and what each value must be."""

from __future__ import annotations

import copy
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _get_custom_resources

from local.workspace import ROOT
from serve.cluster import OUT
from serve.deployment_options import DRAIN_S, KEEP_ALIVE_S, NODE_DRAIN_S
from serve.manifests.pods import GRACE_S
from tests.unit.serve.manifests.ray_service_fields import unknown

VALIDATE = ROOT / ".venv-gates" / "bin" / "kubernetes-validate"


@pytest.fixture(scope="module")
def service() -> Any:
    """Read the committed manifest."""
    return yaml.safe_load((ROOT / OUT).read_text(encoding="utf-8"))


def _pods(service: Any) -> Iterator[tuple[str, Any]]:
    cluster = service["spec"]["rayClusterConfig"]
    yield "head", cluster["headGroupSpec"]["template"]
    for group in cluster["workerGroupSpecs"]:
        yield group["groupName"], group["template"]


def _validate(service: Any, folder: Path) -> subprocess.CompletedProcess[str]:
    """Check all pod templates strictly against the schema of Kubernetes. Its command is the gate's."""
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "spec": template["spec"],
            "metadata": {"name": name, **template["metadata"]},
        }
        for name, template in _pods(service)
    ]
    file = folder / "pods.yaml"
    file.write_text(yaml.safe_dump_all(pods), encoding="utf-8")
    return subprocess.run([VALIDATE, "--strict", file], capture_output=True, text=True, check=False)


def test_every_field_is_known(service: Any, tmp_path: Path) -> None:
    """No field is outside the closed list, and no pod has a field or value that Kubernetes does not take."""
    assert list(unknown(service)) == []
    done = _validate(service, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (done.stdout + done.stderr).count("passed") == 4


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda spec: spec.update(excludeHeadFromServeSvc=True), "excludeHeadFromServeSvc: unknown"),
        (lambda spec: spec.pop("excludeHeadPodFromServeSvc"), "excludeHeadPodFromServeSvc: missing"),
        (lambda spec: spec["rayClusterConfig"]["authOptions"].update(modes="token"), "authOptions.modes: unknown"),
        (lambda spec: spec["rayClusterConfig"].update(enableInTreeAutoscaling="yes"), "str, expected bool"),
        (lambda spec: spec["rayClusterConfig"]["workerGroupSpecs"][1].update(maxReplica=3), r"Specs\[1\].maxReplica"),
    ],
)
def test_an_unknown_field_is_found(service: Any, spoil: Callable[[Any], object], said: str) -> None:
    """A mistyped, missing or wrong field of the RayService is reported with its path."""
    spoiled = copy.deepcopy(service)
    spoil(spoiled["spec"])
    with pytest.raises(AssertionError, match=said):
        assert not list(unknown(spoiled)), list(unknown(spoiled))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda spec: spec.update(terminationGracePeriodSecond=1),
        lambda spec: spec["containers"][0]["livenessProbe"]["httpGet"].update(paths="/"),
        lambda spec: spec["containers"][0].update(securityContext={"runAsNonRoot": "yes"}),
    ],
)
def test_a_bad_pod_is_found(service: Any, tmp_path: Path, spoil: Callable[[Any], object]) -> None:
    """The schema of Kubernetes refuses an unknown field at any depth of a pod, and a value of another kind."""
    spoiled = copy.deepcopy(service)
    spoil(spoiled["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"])
    assert _validate(spoiled, tmp_path).returncode != 0


def test_the_head_serves_nothing_and_is_remembered(service: Any) -> None:
    """No replica or call lands on the head. Tokens guard its ports, and Redis keeps its state."""
    spec, cluster = service["spec"], service["spec"]["rayClusterConfig"]
    assert spec["excludeHeadPodFromServeSvc"] is True
    assert spec["upgradeStrategy"] == {"type": "NewCluster"}
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["gcsFaultToleranceOptions"]["redisPassword"]["valueFrom"]["secretKeyRef"]["name"] == "glossa-redis"
    assert "serviceAccountName" not in cluster["headGroupSpec"]["template"]["spec"]
    assert (cluster["enableInTreeAutoscaling"], cluster["autoscalerOptions"]["version"]) == (True, "v2")


def test_workers_are_where_their_class_is(service: Any) -> None:
    """Node label, toleration and Ray resource of each group name its class; the autoscaler reads the resource."""
    for group in service["spec"]["rayClusterConfig"]["workerGroupSpecs"]:
        name, spec, params = group["groupName"], group["template"]["spec"], group["rayStartParams"]
        assert spec["nodeSelector"] == {"glossa-size-class": name}
        assert {"key": "glossa-size-class", "operator": "Equal", "value": name, "effect": "NoSchedule"} in (
            spec["tolerations"]
        )
        assert _get_custom_resources({}, params, name) == {f"size_class_{name}": 1000}
        limits = spec["containers"][0]["resources"]["limits"]
        assert (params["num-cpus"], params["num-gpus"]) == (limits["cpu"], limits.get("nvidia.com/gpu", "0"))
        assert group["minReplicas"] == group["replicas"] <= group["maxReplicas"]
        (spread,) = spec["topologySpreadConstraints"]
        assert spread["topologyKey"] == "topology.kubernetes.io/zone"
        assert spread["labelSelector"]["matchLabels"].items() <= group["template"]["metadata"]["labels"].items()
        assert spec["serviceAccountName"] == "glossa-replica"


def test_a_worker_is_drained_before_it_ends(service: Any) -> None:
    """A node gives notice, open calls end, and only then does the pod. Ready means that its proxy has a replica."""
    assert DRAIN_S < NODE_DRAIN_S < GRACE_S <= 120
    for group in service["spec"]["rayClusterConfig"]["workerGroupSpecs"]:
        spec = group["template"]["spec"]
        (container,) = spec["containers"]
        assert spec["terminationGracePeriodSeconds"] == GRACE_S
        stop = container["lifecycle"]["preStop"]["exec"]["command"][-1]
        assert stop.startswith("ray drain-node ")
        assert stop.endswith(f"sleep {NODE_DRAIN_S:.0f}")
        assert container["readinessProbe"]["httpGet"] == {"path": "/-/healthz", "port": 8000}
        assert container["livenessProbe"]["httpGet"]["path"] == "/api/healthz", "a worker without a replica is alive"


def test_no_pod_can_change_itself(service: Any) -> None:
    """All containers run without root and with a read-only root. Every folder that they write to has a size."""
    for name, template in _pods(service):
        spec = template["spec"]
        assert (spec["securityContext"]["runAsUser"], spec["securityContext"]["runAsNonRoot"]) == (10001, True)
        (container,) = spec["containers"]
        for security in (
            container["securityContext"],
            service["spec"]["rayClusterConfig"]["autoscalerOptions"]["securityContext"],
        ):
            assert security["readOnlyRootFilesystem"] is True
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
        folders = {volume["name"]: volume.get("emptyDir") for volume in spec["volumes"]}
        assert all("sizeLimit" in folder for folder in folders.values() if folder is not None), name
        written = {each["name"] for each in container["volumeMounts"] if not each.get("readOnly")}
        assert written == {each for each, folder in folders.items() if folder is not None}


def test_the_environment_puts_haproxy_in_front(service: Any) -> None:
    """Head and workers have the same variables of Ray; workers alone have keys. Connections outlive a balancer's."""
    found = {name: {each["name"]: each["value"] for each in pod["spec"]["containers"][0]["env"]}
             for name, pod in _pods(service)}  # fmt: skip
    for name, variables in found.items():
        assert variables["RAY_SERVE_ENABLE_HA_PROXY"] == variables["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"
        assert variables["RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S"] == "30"
        assert ("GLOSSA_CALL_KEYS_FILE" in variables) == (name != "head")
    assert KEEP_ALIVE_S > 60
