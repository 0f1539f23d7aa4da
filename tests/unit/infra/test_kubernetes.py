"""The manifests keep the contracts with stacks, image and RayService; the gate over them finds typos at every level."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from serve.deployment_options import DRAIN_S, KEEP_ALIVE_S
from shared.catalog import SizeClass
from tests.gates.manifests import FOLDER, KNOWN, asked, invalid, manifests, problems, read

SIZE_CLASSES = get_args(SizeClass)
FUNCTION_S = 25  # template.yaml: the time that a function has
ALL: list[dict[str, Any]] = [dict(one) for path in manifests() for one in read(path.read_text(encoding="utf-8"))]
NAMED = {"app.kubernetes.io/name": "glossa"}


def of_kind(kind: str) -> list[dict[str, Any]]:
    """Return the manifests of a kind."""
    return [one for one in ALL if one["kind"] == kind]


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
    (account,) = of_kind("ServiceAccount")
    assert (account["metadata"]["name"], account["automountServiceAccountToken"]) == ("glossa-replica", False)
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
    (switch,) = of_kind("ConfigMap")
    assert switch["data"] == {"enable-network-policy-controller": "true"}
    assert all(one["spec"]["networkPolicy"] == "DefaultAllow" for one in of_kind("NodeClass"))


def test_ports_of_the_head_are_for_the_cluster() -> None:
    """From outside the cluster of Ray, a pod is reached on 8000 alone, and by the operator on 8265 too."""
    entries = {}
    for one in of_kind("NetworkPolicy"):
        for way in one["spec"].get("ingress", ()):
            entries[one["metadata"]["name"]] = {port["port"] for port in way.get("ports", ())}
    assert entries == {"ray": set(), "load-balancer": {8000}, "operator": {8265, 8000}}
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
    assert path["backend"]["service"] == {"name": "glossa-serve-svc", "port": {"number": 8000}}


def test_the_operator_is_pinned() -> None:
    """Chart and image have one version, and the operator watches one namespace."""
    values = yaml.safe_load((FOLDER / "operator/values.yaml").read_text(encoding="utf-8"))
    script = (FOLDER / "operator/install.sh").read_text(encoding="utf-8")
    (version,) = re.findall(r"^VERSION=([\d.]+)$", script, re.MULTILINE)
    assert values["image"]["tag"] == f"v{version}"
    assert '--version "$VERSION"' in script
    assert (values["watchNamespace"], values["singleNamespaceInstall"]) == (["glossa"], True)
    assert values["securityContext"]["readOnlyRootFilesystem"]
