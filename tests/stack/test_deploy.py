"""The stack on the emulator is template.yaml itself. Only parameters and package addresses differ."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from local import deploy, stack
from local.build import architecture
from local.workspace import ROOT
from tests.stack.conftest import RunningStack
from tests.unit.template import templates, walk

pytestmark = pytest.mark.stack
# What `sam build` and `sam deploy` write into a template.
ADDRESSES = ("CodeUri", "ContentUri")


def plain(template: dict[str, Any]) -> dict[str, Any]:
    """Return a copy without package addresses and without SAM's note on each resource."""
    copy: dict[str, Any] = json.loads(json.dumps(template))
    for node in walk(copy):
        if isinstance(node, dict):
            for name in ADDRESSES:
                node.pop(name, None)
            if node.get("Metadata", {}).pop("SamResourceId", None) and not node["Metadata"]:
                del node["Metadata"]
    return copy


def parsed(text: str) -> dict[str, Any]:
    """Parse a template with the parser that SAM uses. Intrinsic functions are in long form."""
    program = (
        "import json, sys; from samtranslator.yaml_helper import yaml_parse as parse\n"
        "print(json.dumps(parse(sys.stdin.read())))"
    )
    python = ROOT / ".venv-sam/bin/python"
    done = subprocess.run([python, "-I", "-c", program], input=text, capture_output=True, text=True, check=True)
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def test_the_deployed_template_is_the_written_one(running: RunningStack) -> None:
    """The template that the emulator has equals template.yaml, except for package addresses."""
    given = running.client("cloudformation").get_template(StackName=deploy.STACK, TemplateStage="Original")[
        "TemplateBody"
    ]
    text = given if isinstance(given, str) else json.dumps(given)
    assert plain(parsed(text)) == plain(templates()["source"])


def test_only_these_parameters_differ_from_the_cloud(running: RunningStack) -> None:
    """A local stack sets six parameters. Every other parameter has its default."""
    described = running.client("cloudformation").describe_stacks(StackName=deploy.STACK)["Stacks"][0]
    written = {name: str(p.get("Default")) for name, p in templates()["source"]["Parameters"].items()}
    differing = {p["ParameterKey"]: p["ParameterValue"] for p in described["Parameters"]}
    differing = {name: value for name, value in differing.items() if value != written[name]}
    secret = running.client("secretsmanager").describe_secret(SecretId=deploy.CALL_KEYS)["ARN"]
    wanted = {
        "Auth": "none",
        "Environment": "local",
        "Page": "on",
        "ReplicaUrl": running.stack.replica_url,
        "Architecture": architecture(),
        "CallKeysSecretArn": secret,
    }
    assert differing == {name: value for name, value in wanted.items() if value != written[name]}


def test_an_unchanged_stack_is_left_alone(running: RunningStack) -> None:
    """A running stack that is started again is neither built nor deployed, and keeps its addresses."""
    assert not deploy.deploy(running.workspace, running.stack.replica_url)
    assert stack.up(running.workspace, running.stack.replica_url) == running.stack
    assert stack.running_stack(running.workspace) == running.stack


def test_it_does_not_touch_the_checkouts_own_stack(running: RunningStack) -> None:
    """A private stack keeps all files in its own home."""
    assert not running.workspace.home.is_relative_to(ROOT)
    assert str(running.workspace.home) in (running.workspace.run / "emulator.pid").as_posix()
