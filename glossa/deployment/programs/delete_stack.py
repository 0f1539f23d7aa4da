"""Deletes a stack and waits for the end. A stack that is not there counts as deleted.

    python -m glossa.deployment.programs.delete_stack --stack NAME --region REGION [--only-failed-creation]

A stack whose first creation failed stays as an empty shell that CloudFormation never updates. With the option, only
such a shell is deleted, and what is in progress is waited for; every other stack stays as it is. Must not know what the
stack holds.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

WAIT_S, WAIT_TIMES = 15, 240  # an hour: a cluster takes long
# Only a failed creation ends in these (AWSCloudFormation/latest/UserGuide/view-stack-events.html), so none had data.
NOT_STARTED = frozenset({"REVIEW_IN_PROGRESS"})  # a stack with nothing but a change set
FAILED_CREATION = frozenset({"ROLLBACK_COMPLETE", "ROLLBACK_FAILED"})


def delete(client: Any, stack: str) -> None:
    """Delete a stack and wait. Raises the errors of boto3, with the reason when it cannot be deleted."""
    client.delete_stack(StackName=stack)
    waiter = client.get_waiter("stack_delete_complete")
    waiter.wait(StackName=stack, WaiterConfig={"Delay": WAIT_S, "MaxAttempts": WAIT_TIMES})


def creation_failed(client: Any, stack: str, pause: Callable[[float], None] = time.sleep) -> bool:
    """Return whether a stack is what a failed creation left. Waits for the end of what somebody began.

    Raises the errors of boto3, and TimeoutError after an hour.
    """
    for _ in range(WAIT_TIMES):
        status = status_of(client, stack)
        if not status.endswith("_IN_PROGRESS") or status in NOT_STARTED:
            return status in FAILED_CREATION
        pause(WAIT_S)
    raise TimeoutError(f"got {status} after {WAIT_TIMES * WAIT_S} s, expected an end: see its events in CloudFormation")


def status_of(client: Any, stack: str) -> str:
    """Return the status of a stack, empty when it is not there. Raises the errors of boto3."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - slow, as boto3 is

    try:
        (found,) = client.describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return ""
        raise
    return str(found["StackStatus"])


def main() -> int:
    """Delete; return 0, or 1 with the reason."""
    parser = argparse.ArgumentParser(prog="python -m glossa.deployment.programs.delete_stack")
    parser.add_argument("--stack", required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument("--only-failed-creation", action="store_true")
    asked = parser.parse_args()

    import boto3  # noqa: PLC0415 - takes 300 ms, which `--help` does not need
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow, as boto3 is

    client = boto3.client("cloudformation", region_name=asked.region)
    try:
        if asked.only_failed_creation and not creation_failed(client, asked.stack):
            return 0
        delete(client, asked.stack)
    except (BotoCoreError, ClientError, TimeoutError) as error:
        print(f"{asked.stack} was not deleted: {error}", file=sys.stderr)
        return 1
    print(f"{asked.stack}: deleted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
