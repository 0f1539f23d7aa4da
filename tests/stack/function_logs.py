"""Reads what the functions of a running stack have logged, as CloudWatch Logs of the emulator holds it."""

from __future__ import annotations

from collections.abc import Iterator

from local import deploy
from tests.stack.conftest import RunningStack

FUNCTIONS = ("infer", "jobs", "plan", "work", "finalize", "sweep", "notify")


def logged(running: RunningStack, function: str) -> Iterator[str]:
    """Yield each line that a function has logged so far."""
    logs = running.client("logs")
    group = f"/{deploy.STACK}/{function}"
    for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]:
        token = None
        while True:
            more = {"nextToken": token} if token else {}
            page = logs.get_log_events(
                logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True, **more
            )
            yield from (event["message"] for event in page["events"])
            if not page["events"] or page["nextForwardToken"] == token:
                break
            token = page["nextForwardToken"]


def everything_logged(running: RunningStack) -> str:
    """Return all lines of all functions."""
    return "\n".join(line for function in FUNCTIONS for line in logged(running, function))
