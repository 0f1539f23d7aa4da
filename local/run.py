"""`make run`: starts the whole stack on this machine, shows the product at work, and prints the addresses.

It starts what does not run yet, uses what runs already, and ends nothing. Other files do each step; this file calls
them in order.
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
from local.client import ApiClient, LocalApiError
from local.ports import ports
from local.workspace import Workspace, this_workspace
from shared.catalog import load_catalog

EXAMPLE = "Οι γιατροί στο νοσοκομείο έδωσαν στους ασθενείς ένα νέο φάρμακο."  # noqa: RUF001 - the text is Greek, so its letters are too


@contextmanager
def step(console: Console, name: str) -> Iterator[None]:
    """Print that a step begins, and at its end how many seconds it took."""
    console.print(f"[bold]{name}[/bold] …")
    started = time.monotonic()
    yield
    console.print(f"[bold]{name}[/bold]: {time.monotonic() - started:.1f} s")


def bring_up(workspace: Workspace, console: Console) -> stack.Stack:
    """Start Ray Serve and the AWS side at the same time; return the addresses. Raises RuntimeError if a step fails.

    When the server runs and follows a new catalog, one comes after the other, so that the functions never name a model
    that nobody serves: new models are ready before the functions learn of them, and old ones end after that.
    """
    replica_url = f"http://127.0.0.1:{ports(workspace).serve}"

    def aws_side() -> stack.Stack:
        make_artifacts(workspace)
        return stack.up(workspace, replica_url)

    if model_server.answers_meanwhile(workspace):
        with step(console, "tokenizer artifacts, Ray Serve, emulator, sam build, sam deploy"):
            make_artifacts(workspace)  # fails before anything has changed, if the catalog is wrong
            model_server.start(workspace, keep_removed=True)
            deployed_stack = stack.up(workspace, replica_url)
            model_server.drop_removed(workspace)
            return deployed_stack
    with (
        step(console, "Ray Serve, tokenizer artifacts, emulator, sam build, sam deploy"),
        ThreadPoolExecutor(2) as pool,
    ):
        serving = pool.submit(model_server.start, workspace)
        deployed = pool.submit(aws_side)
        serving.result()
        return deployed.result()


def print_addresses(workspace: Workspace, running: stack.Stack, console: Console, *, shown: bool = True) -> None:
    """Print the address of each part, and two commands that can be pasted; `shown`: mini is served."""
    console.rule("the stack runs; `make stop` ends it")
    for name, address in (
        ("playground, to open in a browser", running.api_url + "/"),
        ("API", running.api_url),
        ("Open Inference Protocol v2", running.api_url + "/v2"),
        ("model server, for signed calls", running.replica_url),
        ("AWS emulator", running.endpoint_url),
        ("inbox bucket", f"s3://{running.input_bucket}/t/local/inbox/<recipe>/"),
        ("logs", f"{workspace.log.relative_to(workspace.root)}/"),
    ):
        console.print(f"{name:<42} {address}", soft_wrap=True, highlight=False, markup=False)
    console.print("\ntry it:")
    print(f"export API={running.api_url}")
    if not shown:
        print("curl -s $API/v1/models")
        return
    body = json.dumps({"inputs": EXAMPLE, "model": "mini:topic"}, ensure_ascii=False)
    print(f"curl -s $API/v1/text-classification -H 'content-type: application/json' -d '{body}'")


def main() -> int:
    """Run all steps; return 0. If one fails, print its error and the folder of the logs, and return 1."""
    workspace, started = this_workspace(), time.monotonic()
    console = Console(width=None if sys.stdout.isatty() else 140)
    try:
        running = bring_up(workspace, console)
        api = ApiClient(running.api_url)
        catalog = load_catalog(workspace.root / "catalog.toml")
        if shown := demo.can_show(catalog):
            with step(console, "requests"):
                demo.show_requests(api, console)
                demo.show_tasks(api, console, catalog.models["mini"].tasks)
            with step(console, "batch job"):
                demo.run_batch(api, console)
        else:
            console.print("no demonstration: it needs the model mini with its heads in catalog.toml")
    except (RuntimeError, ValueError, OSError, LocalApiError) as error:
        console.print(f"[red]make run stopped:[/red] {error}\nlogs: {workspace.log}", soft_wrap=True)
        return 1
    print_addresses(workspace, running, console, shown=shown)
    console.print(f"\n{time.monotonic() - started:.0f} s in all, without the set-up of the environments")
    return 0


if __name__ == "__main__":
    sys.exit(main())
