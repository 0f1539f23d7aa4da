"""Checks which stacks count as what a failed creation left."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from glossa.deployment.programs.delete_stack import creation_failed, delete


class FakeStacks:
    """An account with one stack, whose status goes on with each look, or without any."""

    def __init__(self, *status: str, code: str = "ValidationError") -> None:
        self._status, self._code = list(status), code
        self.asked: list[str] = []

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803 - the name that boto3 takes
        if not self._status:
            message = f"Stack with id {StackName} does not exist" if self._code == "ValidationError" else "no"
            raise ClientError({"Error": {"Code": self._code, "Message": message}}, "DescribeStacks")
        return {"Stacks": [{"StackName": StackName, "StackStatus": self._status.pop(0)}]}

    def delete_stack(self, StackName: str) -> None:  # noqa: N803 - likewise
        self.asked.append(f"delete {StackName}")

    def get_waiter(self, name: str) -> FakeStacks:
        self.asked.append(name)
        return self

    def wait(self, StackName: str, WaiterConfig: dict[str, int]) -> None:  # noqa: N803 - likewise
        assert WaiterConfig["Delay"] * WaiterConfig["MaxAttempts"] == 3600
        self.asked.append(f"wait for {StackName}")


@pytest.mark.parametrize(
    ("status", "failed"),
    [
        ("ROLLBACK_COMPLETE", True),
        ("ROLLBACK_FAILED", True),
        ("CREATE_COMPLETE", False),
        ("UPDATE_ROLLBACK_COMPLETE", False),
        ("UPDATE_ROLLBACK_FAILED", False),
        ("DELETE_FAILED", False),
        ("REVIEW_IN_PROGRESS", False),
    ],
)
def test_only_a_failed_creation_counts(status: str, failed: bool) -> None:  # noqa: FBT001 - a column of the table
    """A stack that stood once may hold data: it is never deleted on the way to an update."""
    assert creation_failed(FakeStacks(status), "glossa-dev-cluster") == failed


def test_a_stack_that_is_not_there_did_not_fail() -> None:
    """The first deployment finds nothing to remove; whoever may not look is told."""
    assert not creation_failed(FakeStacks(), "glossa-dev-cluster")
    with pytest.raises(ClientError, match="AccessDenied"):
        creation_failed(FakeStacks(code="AccessDenied"), "glossa-dev-cluster")


def test_what_is_in_progress_is_waited_for() -> None:
    """A deployment that was stopped leaves a stack at work; the next one looks at how that ended."""
    pauses: list[float] = []
    stacks = FakeStacks("CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE")
    assert creation_failed(stacks, "glossa-dev-cluster", pauses.append)
    assert pauses == [15, 15]
    with pytest.raises(TimeoutError, match="got CREATE_IN_PROGRESS after 3600 s, expected an end"):
        creation_failed(FakeStacks(*["CREATE_IN_PROGRESS"] * 240), "glossa-dev-cluster", lambda _: None)


def test_a_deletion_is_waited_for() -> None:
    """A stack of the same name cannot be made before its end."""
    stacks = FakeStacks("ROLLBACK_COMPLETE")
    delete(stacks, "glossa-dev-network")
    assert stacks.asked == ["delete glossa-dev-network", "stack_delete_complete", "wait for glossa-dev-network"]
