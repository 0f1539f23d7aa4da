"""Waits until the replicas of the new catalog answer, and not only those of the old one.

    python -m glossa.deployment.programs.cluster_ready --kubeconfig FILE --catalog FILE [--within-s 2400]

During an update Ray's operator keeps the condition Ready while the old cluster answers. So this asks more: the operator
has seen this manifest, no second cluster is being built, and the one that answers has the digest of this catalog. Must
not know what is in a pod.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from glossa.deployment.names import NAMESPACE, RAY_SERVICE
from serve.manifests.pods import CATALOG_SHA256

Resource = Mapping[str, Any]
POLL_S, WITHIN_S = 10.0, 2400.0
# The operator gives up with these (ray-project/kuberay, ray-operator/apis/ray/v1/rayservice_types.go at v1.7.0).
GIVES_UP = {
    "ValidationFailed": "the operator refuses the RayService",
    "InitializingTimeout": "the first cluster was not ready in time; delete the RayService, then deploy again",
}
GIVES_UP_POLLS = 6  # a reason of the manifest before this one goes away once the operator has looked


class Verdict(NamedTuple):
    """Whether the new replicas answer, whether the operator gave up, and why not yet."""

    ready: bool
    gave_up: bool
    reason: str


def judge(service: Resource, cluster: Resource | None, catalog_sha256: str) -> Verdict:
    """Judge a RayService and its active RayCluster, as `kubectl get --output json` shows them."""
    status = service.get("status", {})
    conditions = {each["type"]: each for each in status.get("conditions", [])}
    ready, upgrade = (conditions.get(name, {}) for name in ("Ready", "UpgradeInProgress"))
    if ready.get("status") != "True" and ready.get("reason") in GIVES_UP:
        return Verdict(ready=False, gave_up=True, reason=f"{GIVES_UP[ready['reason']]}: {ready.get('message', '')}")
    return _not_yet(
        (status.get("observedGeneration") == service["metadata"]["generation"], "the operator has not seen it yet"),
        (ready.get("status") == "True", f"no replica answers yet: {ready.get('message', 'no condition')}"),
        (upgrade.get("status") == "False", f"a new cluster is being built: {upgrade.get('message', 'no condition')}"),
        (cluster is not None, "no cluster is active"),
        (_catalog_of(cluster or {}) == catalog_sha256, "the cluster that answers has another catalog"),
    )


def active_cluster(service: Resource) -> str:
    """Return the name of the cluster that answers, empty when there is none."""
    return str(service.get("status", {}).get("activeServiceStatus", {}).get("rayClusterName", ""))


def wait_until_ready(
    look: Callable[[], Verdict], within_s: float, say: Callable[[str], None], pause: Callable[[float], None]
) -> bool:
    """Look until the replicas answer; return whether they do within `within_s` seconds of pauses.

    Ends early when the operator gives up, after some more looks: what it says may be of an earlier manifest.
    """
    waited_s, n_gave_up, said = 0.0, 0, ""
    while not (verdict := look()).ready:
        n_gave_up = n_gave_up + 1 if verdict.gave_up else 0
        if verdict.reason != said:
            said = verdict.reason
            say(f"not ready yet: {said}")
        if n_gave_up >= GIVES_UP_POLLS or waited_s >= within_s:
            return False
        pause(POLL_S)
        waited_s += POLL_S
    return True


def _not_yet(*expected: tuple[bool, str]) -> Verdict:
    """Return the first expectation that does not hold as the reason; ready when all of them hold."""
    lacking = [reason for holds, reason in expected if not holds]
    return Verdict(ready=not lacking, gave_up=False, reason=lacking[0] if lacking else "")


def _catalog_of(cluster: Resource) -> str:
    """Return the digest of the catalog that the pods of a cluster have."""
    head = cluster.get("spec", {}).get("headGroupSpec", {}).get("template", {}).get("metadata", {})
    return str(head.get("annotations", {}).get(CATALOG_SHA256, ""))


def _get(kubeconfig: str, kind: str, name: str) -> Resource | None:
    """Return a resource of the cluster, None when it cannot be read now; kubectl says why."""
    command = ["kubectl", "--kubeconfig", kubeconfig, "--namespace", NAMESPACE, "get", kind, name, "--output", "json"]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE)
    if done.returncode != 0:
        return None
    found: Resource = json.loads(done.stdout)
    return found


def look_at(kubeconfig: str, catalog_sha256: str) -> Verdict:
    """Ask the cluster, and judge what it says."""
    service = _get(kubeconfig, "rayservice", RAY_SERVICE)
    if service is None:
        return Verdict(ready=False, gave_up=False, reason="the RayService cannot be read")
    name = active_cluster(service)
    return judge(service, _get(kubeconfig, "raycluster", name) if name else None, catalog_sha256)


def main() -> int:
    """Wait; return 0 when the replicas answer, else 1 with what to look at."""
    parser = argparse.ArgumentParser(prog="python -m glossa.deployment.programs.cluster_ready")
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--catalog", type=Path, required=True)
    parser.add_argument("--within-s", type=float, default=WITHIN_S)
    asked = parser.parse_args()
    sha256 = hashlib.sha256(asked.catalog.read_bytes()).hexdigest()
    if wait_until_ready(lambda: look_at(asked.kubeconfig, sha256), asked.within_s, print, time.sleep):
        print("the model servers answer, with this catalog")
        return 0
    print(f"not ready: kubectl --namespace {NAMESPACE} describe rayservice {RAY_SERVICE}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
