"""The calls of the functions, as the emulator sees them, are those that were recorded for the tests of the roles."""

from __future__ import annotations

import pytest

from local import deploy, emulator
from tests.rights.calls import RECORDING, recorded
from tests.rights.policy import Call
from tests.rights.recording import read_calls, shapes
from tests.rights.resolve import ARNS
from tests.stack.conftest import RunningStack
from tests.stack.every_call import Everything

pytestmark = pytest.mark.stack


def fresh_calls(running: RunningStack) -> list[Call]:
    """Do everything once, and return the calls that were made. Raises PermissionError when one was refused."""
    Everything(running).run()
    pages = running.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=deploy.STACK)
    found = [each for page in pages for each in page["StackResourceSummaries"]]
    kinds = {*ARNS, "AWS::IAM::Role"} - {"AWS::Logs::LogGroup"}  # a group has a name such as jobs, which keys have too
    named = [each for each in found if each["ResourceType"] in kinds]
    names = {each["PhysicalResourceId"].rsplit("/", 1)[-1]: each["LogicalResourceId"] for each in named}
    described = running.client("cloudformation").describe_stacks(StackName=deploy.STACK)["Stacks"][0]
    (secret,) = [p["ParameterValue"] for p in described["Parameters"] if p["ParameterKey"] == "CallKeysSecretArn"]
    names[secret.rsplit(":", 1)[-1]] = "CallKeysSecret"
    return read_calls(emulator.calls_file(running.workspace), names)


def test_the_recorded_calls_are_those_that_are_made(running: RunningStack) -> None:
    """No call is new and none has gone since the recording, and no role refused one."""
    fresh, old = shapes(fresh_calls(running)), shapes(recorded())
    hint = f"`python -m tests.rights` records {RECORDING.name} again"
    assert (sorted(fresh - old), sorted(old - fresh)) == ([], []), hint
