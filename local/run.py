"""`make run`: the whole stack on this machine, then the main job in front of the user, then addresses.

Starts what is not running, reuses what stands, ends nothing. The pieces do the work; this file only orders them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from rich.console import Console

from local import demo, model_server, stack
from local.build import make_artifacts
from local.client import ApiClient, ApiError
from local.ports import ports
from local.workspace import Workspace, this_workspace

EXAMPLE = "Οι γιατροί στο νοσοκομείο έδωσαν στους ασθενείς ένα νέο φάρμακο."  # noqa: RUF001 - Greek letters are Greek on purpose


@contextmanager
def step(console: Console, name: str) -> Iterator[None]:
    """Say that a step begins, and how many seconds it took."""
    console.print(f"[bold]{name}[/bold] …")
    started = time.monotonic()
    yield
    console.print(f"[bold]{name}[/bold]: {time.monotonic() - started:.1f} s")


def bring_up(workspace: Workspace, console: Console) -> stack.Stack:
    """Start Ray Serve and the AWS side at the same time; return the addresses. Raises RuntimeError."""
    replica_url = f"http://127.0.0.1:{ports(workspace).serve}"
    with step(console, "tokenizer artifacts"):
        make_artifacts(workspace)
    with step(console, "Ray Serve, emulator, sam build, sam deploy"), ThreadPoolExecutor(2) as pool:
        serving = pool.submit(model_server.start, workspace)
        deployed = pool.submit(stack.up, workspace, replica_url)
        serving.result()
        return deployed.result()


def say_addresses(workspace: Workspace, standing: stack.Stack, console: Console) -> None:
    """Print where everything listens, and a curl line that works as pasted."""
    body = json.dumps({"inputs": EXAMPLE, "model": "mini:topic"}, ensure_ascii=False)
    console.rule("the stack is up; `make stop` ends it")
    for name, address in (
        ("API", standing.api_url),
        ("model server (Open Inference Protocol v2)", standing.replica_url + "/v2"),
        ("AWS emulator", standing.endpoint_url),
        ("inbox bucket", f"s3://{standing.input_bucket}/t/local/inbox/<recipe>/"),
        ("logs", f"{workspace.log.relative_to(workspace.root)}/"),
    ):
        console.print(f"{name:<42} {address}", soft_wrap=True, highlight=False, markup=False)
    console.print("\ntry it:")
    print(f"curl -s {standing.api_url}/v1/text-classification -H 'content-type: application/json' -d '{body}'")


def main() -> int:
    """Do it all; return 0, or 1 with the step that failed and where its log is."""
    workspace, started = this_workspace(), time.monotonic()
    console = Console(width=None if sys.stdout.isatty() else 140)
    try:
        standing = bring_up(workspace, console)
        api = ApiClient(standing.api_url)
        with step(console, "requests"):
            demo.show_requests(api, console)
        with step(console, "batch job"):
            demo.run_batch(api, console)
    except (RuntimeError, OSError, ApiError, TimeoutError) as error:
        console.print(f"[red]make run stopped:[/red] {error}\nlogs: {workspace.log}", soft_wrap=True)
        return 1
    say_addresses(workspace, standing, console)
    console.print(f"\n{time.monotonic() - started:.0f} s in all, environments not counted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
