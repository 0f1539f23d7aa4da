"""Checks the Kubernetes manifests: core kinds by kubernetes-validate, other kinds by the fields that we set.

It fills each `${Name}` with a made-up value first. `make check` runs it: `python -m tests.gates.manifests`. The
RayService is left to the tests of what writes it. It knows no cluster.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "infra/kubernetes"
TOOL = ROOT / ".venv-gates/bin/kubernetes-validate"
NAME = re.compile(r"\$\{([^}]*)\}")
KNOWN = {  # every name that a manifest may ask for, with a value of its kind
    "NamePrefix": "glossa-dev",
    "VpcCidr": "10.64.0.0/16",
    "SubnetIds": "subnet-0a,subnet-0b",
    "LoadBalancerSecurityGroupId": "sg-0c",
    "NodeRoleName": "glossa-dev-node",
    "ClusterSecurityGroupId": "sg-0d",
    "CollectorImage": f"registry.example/collector@sha256:{'0' * 64}",
    "CollectorLogGroupName": "/glossa-dev/replica-metrics",
    "EnvironmentName": "dev",
    "Region": "us-east-1",
    "CertificateArn": "arn:aws:acm:us-east-1:111122223333:certificate/00000000",
}
OTHERS = ("karpenter.sh", "amazonaws.com")  # groups of kinds that Kubernetes does not know
ELSEWHERE = {("ray.io/v1", "RayService")}  # checked by the tests of serve.cluster

# Fields of kinds that Kubernetes does not know. `*` stands for names of our own: labels, tags, resources.
METADATA = {"metadata.name", "metadata.labels.*"}
NODE_CLASS = {  # https://docs.aws.amazon.com/eks/latest/userguide/create-node-class.html
    "spec.role",
    "spec.subnetSelectorTerms[].tags.*",
    "spec.securityGroupSelectorTerms[].id",
    "spec.networkPolicy",
    "spec.networkPolicyEventLogs",
    "spec.ephemeralStorage.size",
    "spec.tags.*",
}
NODE_POOL = {  # kubernetes-sigs/karpenter, pkg/apis/crds/karpenter.sh_nodepools.yaml at 2266468 (2026-08-20)
    "spec.template.metadata.labels.*",
    *(f"spec.template.spec.nodeClassRef.{field}" for field in ("group", "kind", "name")),
    *(f"spec.template.spec.taints[].{field}" for field in ("key", "value", "effect")),
    *(f"spec.template.spec.requirements[].{field}" for field in ("key", "operator", "values[]")),
    "spec.template.spec.expireAfter",
    "spec.template.spec.terminationGracePeriod",
    "spec.disruption.consolidationPolicy",
    "spec.disruption.consolidateAfter",
    "spec.disruption.budgets[].nodes",
    "spec.limits.*",
}
INGRESS_CLASS_PARAMS = {  # https://docs.aws.amazon.com/eks/latest/userguide/auto-configure-alb.html
    "spec.scheme",
    "spec.namespaceSelector.matchLabels.*",
    "spec.subnets.ids[]",
    "spec.certificateARNs[]",
    "spec.loadBalancerAttributes[].key",
    "spec.loadBalancerAttributes[].value",
    "spec.tags[].key",
    "spec.tags[].value",
}
FIELDS: Mapping[tuple[str, str], set[str]] = {
    ("eks.amazonaws.com/v1", "NodeClass"): NODE_CLASS | METADATA,
    ("karpenter.sh/v1", "NodePool"): NODE_POOL | METADATA,
    ("eks.amazonaws.com/v1", "IngressClassParams"): INGRESS_CLASS_PARAMS | METADATA,
}

Manifest = Mapping[str, Any]


def asked(text: str) -> set[str]:
    """Return the names that a manifest asks for."""
    return set(NAME.findall(text))


def read(text: str) -> list[Manifest]:
    """Return the manifests of a file, filled. Raises KeyError for a name that is not known."""
    return [one for one in yaml.safe_load_all(NAME.sub(lambda found: KNOWN[found[1]], text)) if one]


def paths(value: object, so_far: str = "") -> Iterator[str]:
    """Yield the path of each value, with [] for an element of a list."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from paths(below, f"{so_far}.{key}" if so_far else str(key))
    elif isinstance(value, list):
        for below in value:
            yield from paths(below, f"{so_far}[]")
    else:
        yield so_far


def unknown_fields(manifest: Manifest) -> list[str]:
    """Return the fields of a kind of others that are not among those that we know, and those of an unknown kind."""
    kind = (str(manifest.get("apiVersion")), str(manifest.get("kind")))
    if kind not in FIELDS:
        return [f"{kind[1]}: no schema and no list of fields for {kind[0]}"]
    exact = {field for field in FIELDS[kind] if not field.endswith(".*")} | {"apiVersion", "kind"}
    free = tuple(field[:-1] for field in FIELDS[kind] if field.endswith(".*"))
    return [
        f"{kind[1]}: unknown field {path}"
        for path in paths(manifest)
        if path not in exact and not path.startswith(free)
    ]


def is_core(manifest: Manifest) -> bool:
    """Say whether Kubernetes itself knows the kind."""
    group = str(manifest.get("apiVersion")).partition("/")[0]
    return (manifest.get("apiVersion"), manifest.get("kind")) not in ELSEWHERE and not group.endswith(OTHERS)


def invalid(found: Iterable[Manifest]) -> list[str]:
    """Return what is wrong: by kubernetes-validate, or by our list for a kind of others."""
    found = [one for one in found if (one.get("apiVersion"), one.get("kind")) not in ELSEWHERE]
    faults = [fault for one in found if not is_core(one) for fault in unknown_fields(one)]
    core = [dict(one) for one in found if is_core(one)]
    if not core:
        return faults
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        yaml.safe_dump_all(core, file)
        file.flush()
        done = subprocess.run([TOOL, "--strict", file.name], capture_output=True, text=True, check=False)
    # A kind without a schema is a warning and exit status 0, so each line counts that does not say that one passed.
    lines = [line for line in (done.stdout + done.stderr).replace(f"{file.name} ", "").splitlines() if line.strip()]
    return faults + [line for line in lines if not line.startswith("INFO ")]


def problems(files: Iterable[Path]) -> list[str]:
    """Return what is wrong with the manifests of files."""
    faults: list[str] = []
    found: list[Manifest] = []
    for path in files:
        text = path.read_text(encoding="utf-8")
        if strange := asked(text) - KNOWN.keys():
            faults.append(f"{path.name}: asks for {sorted(strange)}, expected names of {sorted(KNOWN)}")
        else:
            found += read(text)
    return faults + invalid(found)


def manifests(folder: Path = FOLDER) -> list[Path]:
    """Return the files of manifests. The values of the operator's chart are none."""
    return sorted(path for path in folder.rglob("*.yaml") if path.name != "values.yaml")


def main() -> int:
    """Check every manifest. Return 1 when something is wrong."""
    found = problems(manifests())
    for problem in found:
        sys.stdout.write(f"{problem}\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
