"""The workflows run targets of the Makefile alone, with pinned actions and the least rights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from tests.house.tree import ROOT, tracked

COMMAND = re.compile(r"make [a-z-]+(?: [A-Z_]+=[\w.-]+)*")
PINNED = re.compile(r"[\w-]+/[\w.-]+@(?:v\d+(?:\.\d+)*|[0-9a-f]{40})")
WRITES_ALLOWED = {("release", "release"): {"contents": "write"}}  # a release is written
WORKFLOWS = {
    path.rpartition("/")[2].removesuffix(".yaml"): yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    for path in tracked(".github/workflows/*")
}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def faults(name: str, workflow: Mapping[Any, Any], targets: set[str]) -> list[str]:
    """Return what breaks the rules in a workflow."""
    found = []
    if workflow.get("permissions") != {"contents": "read"}:
        found.append("permissions: expected contents: read alone")
    for job, body in workflow["jobs"].items():
        if body.get("permissions") != WRITES_ALLOWED.get((name, job)):
            found.append(f"{job}: permissions {body.get('permissions')}")
        if "timeout-minutes" not in body:
            found.append(f"{job}: no timeout")
        for step in body["steps"]:
            command, action = step.get("run"), step.get("uses")
            if command is not None and not (COMMAND.fullmatch(command) and command.split()[1] in targets):
                found.append(f"{job}: runs {command!r}, expected a target of the Makefile")
            if action is not None and not PINNED.fullmatch(action):
                found.append(f"{job}: uses {action}, expected a tag such as v6 or a commit")
    return found


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_runs_what_people_run(name: str) -> None:
    """Each command is a target of the Makefile, each action is pinned, and rights are the least."""
    assert faults(name, WORKFLOWS[name], TARGETS) == []


def test_what_breaks_the_rules_is_found() -> None:
    """A command of its own, an action of a branch, wide rights and a job without an end are reported."""
    steps = [{"run": "pip install x"}, {"run": "make nothing"}, {"run": "make check; rm a"}, {"uses": "a/b@main"}]
    job = {"steps": steps, "permissions": {"contents": "write"}}
    found = faults("check", {"permissions": "write-all", "jobs": {"lint": job}}, {"check"})
    assert len(found) == 3 + len(steps)


def test_every_gate_is_run_somewhere() -> None:
    """Lint, tests, parity, image, lists of packages, and a release are in the workflows."""
    commands = {
        step.get("run", "") for one in WORKFLOWS.values() for job in one["jobs"].values() for step in job["steps"]
    }
    for command in (
        "make check",
        "make test",
        "make parity SMALL=1",
        "make image",
        "make sbom",
        "make asan",
        "make release",
    ):
        assert command in commands


def test_a_text_of_others_never_reaches_a_shell() -> None:
    """No command holds an expression of GitHub: the title of a pull request would be run as code."""
    for path in tracked(".github/workflows/*"):
        lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if "run:" in line and "${{" in line] == []
