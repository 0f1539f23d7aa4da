"""Each role of template.yaml allows every call that its function makes, and every part of it is needed.

The calls come from one recorded run and from the template (tests/rights). A fault is planted into each statement: one
part less must refuse a call that is needed, one part wider must allow a call that is forbidden.
"""

from __future__ import annotations

import functools

import pytest

from tests.rights.calls import UNRECORDED, forbidden, needed, recorded, written
from tests.rights.mutations import narrowed, widened
from tests.rights.policy import Call, Statement, allows, listed
from tests.rights.resolve import resolve, roles
from tests.unit.template import properties

# Parts of statements that no call of the recorded run needs, each with the reason why they are there.
_TABLE, _QUEUE = "table/JobsTable", "arn:aws:sqs:us-east-1:123456789012:"
UNUSED: dict[tuple[str, str], str] = {
    (
        "JobsRole",
        f"dynamodb:GetItem,dynamodb:Query,dynamodb:PutItem,dynamodb:DeleteItem on {_TABLE}: without dynamodb:GetItem",
    ): "a recipe is read only when one of its name is there already; test_recipe_routes.py",
    ("PlanRole", f"sqs:SendMessage on PlanQueue: without {_QUEUE}PlanQueue"): (
        "plan hands on to itself when a document takes longer than its timeout of 300 s; test_planner.py"
    ),
    ("WorkRole", f"sqs:SendMessage on WorkQueue: without {_QUEUE}WorkQueue"): (
        "work sends a new message while its circuit breaker is open; tests of steps/work"
    ),
}
# Parts of statements that could be wider without allowing a forbidden call, each with the reason.
_GROUPS = "arn:aws:codedeploy:us-east-1:123456789012:deploymentgroup:glossa-*"
WIDE: dict[tuple[str, str], str] = {
    (
        "SmokeRole",
        f"codedeploy:PutLifecycleEventHookExecutionStatus on glossa-*/*: {_GROUPS} for {_GROUPS}/*",
    ): "the name of every deployment group has a slash after that of its application",
}


@functools.cache
def calls_of() -> dict[str, list[Call]]:
    """Return the needed calls of each role."""
    return {role: [call for call in needed() if call.role == role] for role in roles()}


def label(statement: Statement) -> str:
    """Name a statement by its actions and its first resource."""
    return f"{','.join(listed(statement['Action']))} on {listed(statement['Resource'])[0].rpartition(':')[2]}"


@pytest.mark.parametrize("role", roles())
def test_a_role_allows_every_call_of_its_function(role: str) -> None:
    """With all statements, no needed call is refused."""
    assert [call for call in calls_of()[role] if not allows(roles()[role], call)] == []


def unneeded(role: str) -> set[tuple[str, str]]:
    """Return the faults that allow less and refuse nothing."""
    statements, found = roles()[role], set()
    for i, statement in enumerate(statements):
        if statement["Effect"] == "Deny":
            continue
        for name, faulty in narrowed(statement):
            rest = [*statements[:i], *([faulty] if faulty else []), *statements[i + 1 :]]
            if all(allows(rest, call) for call in calls_of()[role]):
                found.add((role, f"{label(statement)}: {name}"))
    return found


def too_wide(role: str) -> set[tuple[str, str]]:
    """Return the faults that allow more, and yet allow no forbidden call. To drop a denial is such a fault."""
    statements, found = roles()[role], set()
    wrong = forbidden(calls_of()[role])
    for i, statement in enumerate(statements):
        faults = [("dropped", None)] if statement["Effect"] == "Deny" else [*widened(statement)]
        for name, faulty in faults:
            rest = [*statements[:i], *([faulty] if faulty else []), *statements[i + 1 :]]
            if not any(allows(rest, call) for call in wrong):
                found.add((role, f"{label(statement)}: {name}"))
    return found


@pytest.mark.parametrize("role", roles())
def test_every_part_of_a_role_is_needed(role: str) -> None:
    """Without any one statement, action, resource or value, a call is refused, unless a reason is listed."""
    assert unneeded(role) == {each for each in UNUSED if each[0] == role}


@pytest.mark.parametrize("role", roles())
def test_a_role_allows_nothing_that_looks_like_a_call_of_its_function(role: str) -> None:
    """No call on another resource, for another account, under another prefix or through another service is allowed."""
    assert [call for call in forbidden(calls_of()[role]) if allows(roles()[role], call)] == []


@pytest.mark.parametrize("role", roles())
def test_every_limit_of_a_role_holds_something_back(role: str) -> None:
    """With any resource or condition wider, a forbidden call is allowed, unless a reason is listed."""
    assert too_wide(role) == {each for each in WIDE if each[0] == role}


def test_every_role_of_a_function_is_recorded() -> None:
    """Each role makes calls in the recorded run, but for those with a reason. A new function needs a new recording."""
    assert set(roles()) - {call.role for call in recorded()} == set(UNRECORDED)
    assert {call.role for call in written()} == set(UNRECORDED)


def test_every_recorded_write_of_a_result_names_a_free_key() -> None:
    """The policy of the output bucket denies no recorded write, and denies each of them without If-None-Match."""
    policy = properties("AWS::S3::BucketPolicy")["OutputBucketPolicy"]["PolicyDocument"]["Statement"]
    (denial,) = [resolve(statement) for statement in policy if statement.get("Sid") == "RefuseOverwriting"]
    anything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    writes = [call for call in recorded() if call.action == "s3:PutObject" and "OutputBucket" in call.resource]
    assert writes
    for call in writes:
        assert allows([anything, denial], call)
        assert not allows([anything, denial], Call(call.role, call.action, call.resource))
