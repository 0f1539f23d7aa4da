"""Starts and ends the AWS side of a local stack: emulator, build and deploy.

    python -m local.stack up --replica-url http://127.0.0.1:8000 | status | down [--forget]

run/stack.json holds its addresses while it runs. It starts no model server; it takes the address of one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from local import deploy, emulator, processes
from local.ports import ports
from local.workspace import Workspace, read_json, this_workspace, write_json


@dataclass(frozen=True)
class Stack:
    """The addresses of a stack that runs. `api_url` has no slash at its end."""

    api_url: str
    endpoint_url: str
    region: str
    input_bucket: str
    output_bucket: str
    table: str
    replica_url: str


def up(workspace: Workspace, replica_url: str) -> Stack:
    """Start what does not run, deploy what has changed, and print each step; return the addresses.

    Raises RuntimeError that names the step that failed.
    """
    started = time.monotonic()
    address = emulator.start(workspace)
    print(f"emulator: {address} ({time.monotonic() - started:.1f} s)", flush=True)
    started = time.monotonic()
    changed = deploy.deploy(workspace, replica_url)
    print(f"template.yaml: {'deployed' if changed else 'unchanged'} ({time.monotonic() - started:.1f} s)", flush=True)
    stack = addresses(workspace, replica_url)
    write_json(workspace.run / "stack.json", asdict(stack))
    return stack


def down(workspace: Workspace, *, forget: bool = False) -> bool:
    """End the emulator; with `forget`, also remove its stored state. Return whether it ran."""
    ran = emulator.stop(workspace)
    (workspace.run / "stack.json").unlink(missing_ok=True)
    if forget:
        for folder in (workspace.state, workspace.build.parent):
            shutil.rmtree(folder, ignore_errors=True)
    return ran


def running_stack(workspace: Workspace) -> Stack | None:
    """Return the addresses of the stack that runs in this workspace, None when none does."""
    noted = read_json(workspace.run / "stack.json")
    return Stack(**noted) if noted is not None and processes.alive(workspace, emulator.NAME) is not None else None


def addresses(workspace: Workspace, replica_url: str, name: str = deploy.STACK) -> Stack:
    """Return the addresses of a deployed stack. Raises RuntimeError when the emulator does not have it."""
    known = deploy.describe(workspace, name)
    if known is None:
        raise RuntimeError("sam deployed the stack, but the emulator does not have it; see log/sam-deploy.log")
    outputs = known["outputs"]
    api_id = outputs["ApiUrl"].removeprefix("https://").split(".")[0]
    stage = outputs["ApiUrl"].rsplit("/", 1)[-1]
    return Stack(
        api_url=f"{emulator.endpoint(workspace)}/_aws/execute-api/{api_id}/{stage}",
        endpoint_url=emulator.endpoint(workspace),
        region=emulator.REGION,
        input_bucket=outputs["InputBucketName"],
        output_bucket=outputs["OutputBucketName"],
        table=outputs["JobsTableName"],
        replica_url=replica_url,
    )


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return 0, or 1 with a reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m local.stack", description="The local AWS side of this checkout.")
    parser.add_argument("verb", choices=["up", "down", "status"])
    parser.add_argument("--replica-url", default="", help="address of Ray Serve (default: this checkout's port)")
    parser.add_argument("--home", type=Path, default=None, help="folder of the workspace (default: .local/)")
    parser.add_argument("--forget", action="store_true", help="with down: remove buckets, table and queues too")
    asked = parser.parse_args(arguments)
    workspace = this_workspace(asked.home)
    try:
        if asked.verb == "up":
            replica_url = asked.replica_url or f"http://127.0.0.1:{ports(workspace).serve}"
            print(f"API: {up(workspace, replica_url).api_url}")
        elif asked.verb == "down":
            print("stopped" if down(workspace, forget=asked.forget) else "nothing was running")
        else:
            stack = running_stack(workspace)
            print(json.dumps(asdict(stack), indent=2) if stack else "not running")
    except (RuntimeError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
