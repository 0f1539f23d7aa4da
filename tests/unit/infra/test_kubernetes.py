"""The manifests keep the contracts with stacks, image and RayService; the gate over them finds typos at every level."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from serve.deployment_options import DRAIN_S, KEEP_ALIVE_S
from serve.manifests.limits import beyond, read_limits
from shared.catalog import SizeClass
from tests.gates.manifests import FOLDER, KNOWN, asked, invalid, manifests, problems, read

SIZE_CLASSES = get_args(SizeClass)
CHARTS = "https://ray-project.github.io/kuberay-helm/"
FUNCTION_S = 25  # template.yaml: the time that a function has
ALL: list[dict[str, Any]] = [dict(one) for path in manifests() for one in read(path.read_text(encoding="utf-8"))]
NAMED = {"app.kubernetes.io/name": "glossa"}


def of_kind(kind: str) -> list[dict[str, Any]]:
    """Return the manifests of a kind."""
    return [one for one in ALL if one["kind"] == kind]


def serving() -> dict[str, Any]:
    """Return the service that the load balancer leads to. The one of metrics has no address of its own."""
    (found,) = [one for one in of_kind("Service") if one["spec"].get("clusterIP") != "None"]
    return found


def policy(name: str) -> dict[str, Any]:
    """Return the spec of a network policy."""
    (found,) = [one["spec"] for one in of_kind("NetworkPolicy") if one["metadata"]["name"] == name]
    return found


def test_every_manifest_is_valid() -> None:
    """kubernetes-validate in strict mode, and our lists for kinds of others, find nothing."""
    assert problems(manifests()) == []


NETWORK, EKS, KARPENTER = "networking.k8s.io/v1", "eks.amazonaws.com/v1", "karpenter.sh/v1"
TYPOS: dict[str, tuple[str, str, Any]] = {  # what the gate says: version, kind and spec
    "maxUnavailabl": ("policy/v1", "PodDisruptionBudget", {"maxUnavailabl": 1}),
    "podSelectors": (NETWORK, "NetworkPolicy", {"podSelectors": {}}),
    "protokol": (NETWORK, "NetworkPolicy", {"podSelector": {}, "egress": [{"ports": [{"protokol": "TCP"}]}]}),
    "with api version v2": ("v2", "Namespace", {}),
    "spec.limit.cpu": (KARPENTER, "NodePool", {"limit": {"cpu": "1"}}),
    "spec.disruption.budgets[].node": (KARPENTER, "NodePool", {"disruption": {"budgets": [{"node": "1"}]}}),
    "spec.rol": (EKS, "NodeClass", {"rol": "a"}),
    "spec.schema": (EKS, "IngressClassParams", {"schema": "internal"}),
    "no list of fields": ("karpenter.sh/v1beta1", "NodePool", {}),
}


@pytest.fixture(scope="module")
def faults() -> str:
    """Return what the gate says of manifests with one typo each, read together."""
    named = {"metadata": {"name": "a"}}
    made_up = [{"apiVersion": version, "kind": kind, "spec": spec, **named} for version, kind, spec in TYPOS.values()]
    return "\n".join(invalid(made_up))


@pytest.mark.parametrize("said", TYPOS)
def test_a_typo_is_found(said: str, faults: str) -> None:
    """A field that no schema knows is reported, at any depth; so is a version that is not there."""
    assert said in faults


def test_every_name_that_is_asked_for_is_known(tmp_path: Path) -> None:
    """Manifests ask for known names alone, each known name is asked for, and the page lists them. Others are found."""
    names = {name for path in manifests() for name in asked(path.read_text(encoding="utf-8"))}
    assert names == KNOWN.keys()
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `\$\{(\w+)\}` \|", page, re.MULTILINE)) == KNOWN.keys()
    strange = tmp_path / "a.yaml"
    strange.write_text("name: ${Nobody}")
    assert "asks for ['Nobody']" in problems([strange])[0]


def test_the_namespace_is_restricted() -> None:
    """Pod Security refuses what could leave its container, and everything namespaced is in the namespace."""
    (space,) = of_kind("Namespace")
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    accounts = {one["metadata"]["name"]: one["automountServiceAccountToken"] for one in of_kind("ServiceAccount")}
    assert accounts == {"glossa-replica": False, "glossa-collector": False}
    namespaces = {one["metadata"]["namespace"] for one in ALL if "namespace" in one["metadata"]}
    assert namespaces == {"glossa", "kube-system"}


@pytest.mark.parametrize("size_class", SIZE_CLASSES)
def test_each_size_class_has_its_machines(size_class: str) -> None:
    """Label and taint are those that pods name, what it may cost is bounded, and its pods leave one at a time."""
    (pool,) = [one["spec"] for one in of_kind("NodePool") if one["metadata"]["name"] == f"glossa-{size_class}"]
    assert pool["template"]["metadata"]["labels"]["glossa-size-class"] == size_class
    template = pool["template"]["spec"]
    assert template["taints"] == [{"key": "glossa-size-class", "value": size_class, "effect": "NoSchedule"}]
    classes = {one["metadata"]["name"] for one in of_kind("NodeClass")}
    assert template["nodeClassRef"]["name"] in classes
    wanted = {one["key"]: one["values"] for one in template["requirements"]}
    assert wanted["kubernetes.io/arch"] == ["amd64"]  # the kernels are for x86
    assert ("eks.amazonaws.com/instance-gpu-count" in wanted) == (size_class != "base")
    assert pool["limits"]
    (budget,) = [o["spec"] for o in of_kind("PodDisruptionBudget") if o["metadata"]["name"] == f"glossa-{size_class}"]
    labels = NAMED | {"glossa-role": "worker", "glossa-size-class": size_class}
    assert (budget["maxUnavailable"], budget["selector"]["matchLabels"]) == (1, labels)


def test_everything_is_refused_first() -> None:
    """One policy covers every pod in both directions and allows nothing."""
    assert policy("nothing") == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (switch,) = [one for one in of_kind("ConfigMap") if one["metadata"]["name"] == "amazon-vpc-cni"]
    assert switch["data"] == {"enable-network-policy-controller": "true"}
    assert all(one["spec"]["networkPolicy"] == "DefaultAllow" for one in of_kind("NodeClass"))


def test_ports_of_the_head_are_for_the_cluster() -> None:
    """From outside the cluster of Ray, a pod is reached on 8000, on 8265 by the operator, on 8080 by the collector."""
    entries = {}
    for one in of_kind("NetworkPolicy"):
        for way in one["spec"].get("ingress", ()):
            entries[one["metadata"]["name"]] = {port["port"] for port in way.get("ports", ())}
    assert entries == {"ray": set(), "load-balancer": {8000}, "operator": {8265, 8000}, "metrics": {8080}}
    assert policy("ray")["ingress"] == [{"from": [{"podSelector": {"matchLabels": NAMED}}]}]
    assert policy("load-balancer")["podSelector"]["matchLabels"]["glossa-role"] == "worker"


def test_the_metadata_service_is_out_of_reach() -> None:
    """No policy leads to 169.254.169.254, which would give a pod the role of its machine."""
    for one in of_kind("NetworkPolicy"):
        for way in one["spec"].get("egress", ()):
            for to in way.get("to", ()):
                block = to.get("ipBlock", {"cidr": "10.0.0.0/8"})
                is_wide = block["cidr"] == "0.0.0.0/0"
                assert block["cidr"] != "169.254.169.254/32"
                assert not is_wide or block["except"] == ["169.254.0.0/16"]


def test_the_load_balancer_is_internal_and_speaks_tls() -> None:
    """It leads to workers by their address, asks what their probe asks, and keeps connections within the ladder."""
    (params,) = of_kind("IngressClassParams")
    assert params["spec"]["scheme"] == "internal"
    attributes = {one["key"]: one["value"] for one in params["spec"]["loadBalancerAttributes"]}
    assert FUNCTION_S < int(attributes["idle_timeout.timeout_seconds"]) < KEEP_ALIVE_S
    (ingress,) = of_kind("Ingress")
    notes = {key.partition("/")[2]: value for key, value in ingress["metadata"]["annotations"].items()}
    assert (notes["target-type"], notes["healthcheck-path"]) == ("ip", "/-/healthz")
    assert yaml.safe_load(notes["listen-ports"]) == [{"HTTPS": 443}]
    drained = dict(pair.split("=") for pair in notes["target-group-attributes"].split(","))
    assert int(drained["deregistration_delay.timeout_seconds"]) >= DRAIN_S
    (path,) = ingress["spec"]["rules"][0]["http"]["paths"]
    service = serving()
    assert path["backend"]["service"] == {"name": service["metadata"]["name"], "port": {"number": 8000}}


def test_the_load_balancer_leads_to_the_workers_of_both_clusters() -> None:
    """While a new cluster starts, the old one stays behind the load balancer. No field names one of the two."""
    service = serving()
    assert service["spec"]["selector"] == NAMED | {"glossa-role": "worker"}
    (port,) = service["spec"]["ports"]
    (ray,) = of_kind("RayService")
    head = ray["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["metadata"]["labels"]
    assert not service["spec"]["selector"].items() <= head.items()
    for group in workers():
        assert service["spec"]["selector"].items() <= group["template"]["metadata"]["labels"].items()
        (container,) = group["template"]["spec"]["containers"]
        assert {"containerPort": port["port"], "name": port["targetPort"]} in container["ports"]
        assert container["startupProbe"]["httpGet"] == {"path": "/v2/health/ready", "port": 8000}


def test_the_operator_is_pinned() -> None:
    """Chart and image have one version, and the operator watches one namespace."""
    values = yaml.safe_load((FOLDER / "operator/values.yaml").read_text(encoding="utf-8"))
    script = (FOLDER / "operator/install.sh").read_text(encoding="utf-8")
    (line,) = re.findall(r"^VERSION=.*$", script, re.MULTILINE)
    command = ["bash", "-c", f'{line}\necho "$VERSION"']
    done = subprocess.run(command, cwd=FOLDER / "operator", capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\d+\.\d+\.\d+", version := done.stdout.strip())
    assert values["image"]["tag"] == f"v{version}"
    chart = f'chart=(kuberay-operator --version "$VERSION" --repo {CHARTS})'
    kinds, operator = 'helm show crds "${chart[@]}" | kubectl apply', 'helm upgrade kuberay-operator "${chart[@]}"'
    assert script.index(chart) < script.index(kinds) < script.index(operator)  # helm leaves old kinds as they are
    assert (values["watchNamespace"], values["singleNamespaceInstall"]) == (["glossa"], True)
    assert values["securityContext"]["readOnlyRootFilesystem"]


def workers() -> list[dict[str, Any]]:
    """Return the groups of workers of the committed RayService."""
    (ray,) = of_kind("RayService")
    return list(ray["spec"]["rayClusterConfig"]["workerGroupSpecs"])


def gib(text: str) -> int:
    """Return a quantity in GiB."""
    number, unit = re.fullmatch(r"(\d+)(Gi|Ti)", text).groups()  # type: ignore[union-attr] # other units fail the test
    return int(number) * (1024 if unit == "Ti" else 1)


def test_the_pods_of_ray_fit_their_machines() -> None:
    """A worker goes to the machines of its class, which have room for what it stores, and to nobody else's."""
    storage = {one["metadata"]["name"]: gib(one["spec"]["ephemeralStorage"]["size"]) for one in of_kind("NodeClass")}
    pools = {one["spec"]["template"]["metadata"]["labels"]["glossa-size-class"]: one for one in of_kind("NodePool")}
    for group in workers():
        pod, labels = group["template"]["spec"], group["template"]["metadata"]["labels"]
        pool = pools[group["groupName"]]["spec"]["template"]["spec"]
        assert pod["nodeSelector"] == {"glossa-size-class": group["groupName"]}
        assert {(one["key"], one.get("value")) for one in pod["tolerations"]} >= {
            (taint["key"], taint["value"]) for taint in pool["taints"]
        }
        assert labels.items() >= (NAMED | {"glossa-role": "worker", "glossa-size-class": group["groupName"]}).items()
        assert pod["serviceAccountName"] == "glossa-replica"
        (container,) = pod["containers"]
        assert gib(container["resources"]["limits"]["ephemeral-storage"]) < storage[pool["nodeClassRef"]["name"]]


def test_the_load_balancer_asks_what_the_probe_asks() -> None:
    """A worker that is not ready gets no calls, whoever asks first."""
    (ingress,) = of_kind("Ingress")
    path = ingress["metadata"]["annotations"]["alb.ingress.kubernetes.io/healthcheck-path"]
    for group in workers():
        assert group["template"]["spec"]["containers"][0]["readinessProbe"]["httpGet"] == {"path": path, "port": 8000}


def test_the_limits_hold_two_clusters() -> None:
    """While a new cluster starts beside the old one, both fit into the quota and into the limits of their machines."""
    (ray,) = of_kind("RayService")
    limits = read_limits(FOLDER)
    assert {one["kind"] for one in limits} == {"ResourceQuota", "LimitRange", "NodePool", "NodeClass"}
    assert list(beyond(ray, limits)) == []
