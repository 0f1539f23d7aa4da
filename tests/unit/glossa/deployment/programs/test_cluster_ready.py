"""Checks when the replicas of a new catalog count as ready, over what Ray's operator says about a RayService.

The samples have the fields and reasons of ray-project/kuberay, ray-operator/apis/ray/v1/rayservice_types.go at v1.7.0.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from glossa.deployment.programs.cluster_ready import (
    GIVES_UP_POLLS,
    POLL_S,
    Verdict,
    active_cluster,
    judge,
    look_at,
    wait_until_ready,
)
from serve.manifests.pods import CATALOG_SHA256, head_pod

WAITING, GAVE_UP, READY = Verdict(False, False, "a"), Verdict(False, True, "b"), Verdict(True, False, "")


def service(ready: str = "True", upgrade: str = "False", seen: int = 3, reason: str = "NonZeroServeEndpoints") -> Any:
    """Return a RayService of generation 3 as kubectl shows it."""
    conditions = [
        {"type": "Ready", "status": ready, "reason": reason, "message": "said"},
        {"type": "UpgradeInProgress", "status": upgrade, "reason": "NoPendingCluster", "message": "said"},
    ]
    active = {"rayClusterName": "glossa-abc12"}
    status = {"observedGeneration": seen, "conditions": conditions, "activeServiceStatus": active}
    return {"metadata": {"generation": 3}, "status": status}


def cluster(sha256: str = "new") -> Any:
    """Return a RayCluster whose pods have a catalog, with the head that the manifests write."""
    return {"spec": {"headGroupSpec": {"template": head_pod("image", {}, sha256)}}}


def test_new_replicas_that_answer_are_ready() -> None:
    """The operator has seen the manifest, builds nothing, and its active cluster has the new catalog."""
    assert judge(service(), cluster(), "new") == READY
    assert active_cluster(service()) == "glossa-abc12"


@pytest.mark.parametrize(
    ("seen", "active", "reason"),
    [
        (service(seen=2), cluster(), "the operator has not seen it yet"),
        (service(ready="False"), cluster(), "no replica answers yet: said"),
        (service(upgrade="True"), cluster(), "a new cluster is being built: said"),
        (service(upgrade="Unknown"), cluster(), "a new cluster is being built: said"),
        (service(), cluster("old"), "the cluster that answers has another catalog"),
        (service(), None, "no cluster is active"),
        ({"metadata": {"generation": 1}}, None, "the operator has not seen it yet"),
    ],
)
def test_old_replicas_that_answer_are_not_enough(seen: Any, active: Any, reason: str) -> None:
    """Ready alone is true during the whole update, because the old cluster answers."""
    assert judge(seen, active, "new") == Verdict(ready=False, gave_up=False, reason=reason)


@pytest.mark.parametrize("reason", ["ValidationFailed", "InitializingTimeout"])
def test_an_operator_that_gave_up_is_told(reason: str) -> None:
    """A manifest that the operator refuses would be waited for in vain."""
    assert judge(service(ready="False", seen=2, reason=reason), None, "new").gave_up


def test_it_waits_until_they_are_ready_and_says_each_reason_once() -> None:
    """A reason that stays the same is one line."""
    verdicts = iter([WAITING, WAITING, READY])
    said: list[str] = []
    pauses: list[float] = []
    assert wait_until_ready(lambda: next(verdicts), 60.0, said.append, pauses.append)
    assert said == ["not ready yet: a"]
    assert pauses == [POLL_S, POLL_S]


def test_a_refusal_of_an_earlier_manifest_passes_and_one_of_this_ends_early() -> None:
    """Right after a manifest is applied, the operator still says what it thought of the one before."""
    verdicts = iter([GAVE_UP, WAITING, READY])
    assert wait_until_ready(lambda: next(verdicts), 600.0, lambda _: None, lambda _: None)
    pauses: list[float] = []
    assert not wait_until_ready(lambda: GAVE_UP, 6000.0, lambda _: None, pauses.append)
    assert len(pauses) == GIVES_UP_POLLS - 1


def test_it_does_not_wait_for_ever() -> None:
    """A cluster that never starts ends the step."""
    pauses: list[float] = []
    assert not wait_until_ready(lambda: WAITING, 30.0, lambda _: None, pauses.append)
    assert sum(pauses) == 30.0


def test_kubectl_is_asked_for_the_service_and_then_for_its_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What kubectl prints is judged; without an answer of it, nothing is ready."""
    sha256 = hashlib.sha256(b"catalog").hexdigest()
    for kind, found in (("rayservice", service()), ("raycluster", cluster(sha256))):
        (tmp_path / kind).write_text(json.dumps(found), encoding="utf-8")
    program = tmp_path / "kubectl"
    program.write_text(f'#!/bin/sh\ncat {tmp_path}/"$6"\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert look_at("config", sha256) == READY
    assert CATALOG_SHA256 in (tmp_path / "raycluster").read_text(encoding="utf-8")
    (tmp_path / "rayservice").unlink()
    assert look_at("config", sha256).reason == "the RayService cannot be read"
