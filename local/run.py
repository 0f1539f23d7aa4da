"""`glossa up` and `make run`: starts the whole stack on this machine, shows it at work, and prints the addresses.

It starts what does not run yet, uses what runs already, and ends nothing. Other files do each step; this file calls
them in order, and what it prints fits on one screen.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import urllib3
from rich.console import Console

from functions.pipeline.route import answers_unnamed
from local import demo, model_server, stack
from local.build import make_artifacts
from local.client import ApiClient
from local.workspace import Workspace
from shared.catalog import Catalog, load_catalog

EXAMPLE = "Οι γιατροί στο νοσοκομείο έδωσαν στους ασθενείς ένα νέο φάρμακο."  # noqa: RUF001 - the text is Greek, so its letters are too
PAGES = {"playground": "/", "API reference": "/docs"}  # below the address of the API, if it has them
PAGE_S = 30.0
ENVIRONMENTS = (".venv-local", ".venv-sam")  # besides .venv, in which this runs


def bring_up(workspace: Workspace) -> stack.Stack:
    """Start Ray Serve and the AWS side at the same time; return the addresses. Raises RuntimeError if a step fails.

    When the server runs and follows a new catalog, one comes after the other, so that the functions never name a model
    that nobody serves: new models are ready before the functions learn of them, and old ones end after that.
    """
    replica_url = model_server.address(workspace)

    def aws_side() -> stack.Stack:
        make_artifacts(workspace)
        return stack.up(workspace, replica_url)

    if model_server.answers_meanwhile(workspace):
        make_artifacts(workspace)  # fails before anything has changed, if the catalog is wrong
        model_server.start(workspace, keep_removed=True)
        deployed_stack = stack.up(workspace, replica_url)
        model_server.drop_removed(workspace)
        return deployed_stack
    with ThreadPoolExecutor(2) as pool:
        serving = pool.submit(model_server.start, workspace)
        deployed = pool.submit(aws_side)
        serving.result()
        return deployed.result()


def check_environments(workspace: Workspace) -> None:
    """Raise RuntimeError when an environment that the stack runs in has not been made."""
    lacking = [name for name in ENVIRONMENTS if not workspace.python(name).exists()]
    if lacking:
        raise RuntimeError(f"got no {' and no '.join(lacking)} in {workspace.root}, expected both; run `make setup`")


def run(workspace: Workspace, console: Console, *, shows: bool = True) -> stack.Stack:
    """Start everything, show it at work unless `shows` is off, print the addresses; return them.

    Raises RuntimeError, ValueError, OSError or LocalApiError when a step fails.
    """
    started = time.monotonic()
    check_environments(workspace)
    console.print("[bold]Ray Serve, and the template on an emulator of AWS[/bold]")
    running = bring_up(workspace)
    api, catalog = ApiClient(running.api_url), load_catalog(workspace.root / "catalog.toml")
    if shows:
        console.print("\n[bold]one request of every task, and a batch job[/bold]")
        demo.show_requests(api, catalog, console)
        demo.run_batch(api, catalog, console, workspace.home / "demo")
    console.print(f"\n[bold]the stack runs after {time.monotonic() - started:.0f} s; `make stop` ends it[/bold]")
    print_addresses(running, catalog, console, workspace)
    return running


def print_addresses(running: stack.Stack, catalog: Catalog, console: Console, workspace: Workspace) -> None:
    """Print the address of the API and of its pages, where details are, and lines that can be pasted."""
    addresses = {"API": running.api_url} | {
        name: running.api_url + path for name, path in PAGES.items() if _answers(running.api_url + path)
    }
    for name, address in addresses.items():
        console.print(f"{name:<14} {address}", soft_wrap=True, highlight=False, markup=False)
    home = (
        workspace.home.relative_to(workspace.root) if workspace.home.is_relative_to(workspace.root) else workspace.home
    )
    details = f"{home}/run/stack.json (all addresses), {home}/demo/ (results of the batch job), {home}/log/"
    console.print(f"{'files':<14} {details}", soft_wrap=True, highlight=False, markup=False)
    console.print("\ntry it:")
    print(f"export API={running.api_url}")
    if "text-classification" not in answers_unnamed(catalog):
        print("curl -s $API/v1/models")
        return
    body = json.dumps({"inputs": EXAMPLE}, ensure_ascii=False)
    print(f"curl -s $API/v1/text-classification -H 'content-type: application/json' -d '{body}'")


def _answers(address: str) -> bool:
    """Return whether there is a page at an address."""
    try:
        reply = urllib3.request("GET", address, timeout=PAGE_S, retries=False)
    except urllib3.exceptions.HTTPError:
        return False
    return reply.status == 200  # noqa: PLR2004 - HTTP's code for success
