"""`glossa up` and `glossa stop`: start the whole stack on this machine, and end it. `make run` and `make stop` too.

Must not know how a part is started.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from glossa.commands.arguments import examples
from glossa.commands.stack.options import home_option

FILE_COLUMNS = 120  # of what is no terminal


@click.command(
    "up",
    help="Start the model server and an emulator of AWS with the template on this machine, and show them at work.",
    short_help="Start everything, and show it at work.",
    epilog=examples("glossa up", "glossa up --no-demo", "glossa up --home /tmp/second-stack"),
)
@home_option
@click.option("--demo/--no-demo", "shows", default=True, help="Ask one request of every task, and run a batch job.")
def up_command(*, home: Path | None, shows: bool) -> int:
    """Run the command; return its exit code. Raises ValueError with the step that failed and where the logs are."""
    from rich.console import Console  # noqa: PLC0415 - with `local`, which `--help` does not need

    from local.client import LocalApiError  # noqa: PLC0415 - the product works without `local`
    from local.run import run  # noqa: PLC0415 - as above
    from local.workspace import this_workspace  # noqa: PLC0415 - as above

    workspace = this_workspace(home)
    try:
        run(workspace, Console(width=None if sys.stdout.isatty() else FILE_COLUMNS), shows=shows)
    except (RuntimeError, LocalApiError, OSError) as error:
        raise ValueError(f"{error}\nglossa: `glossa logs` shows more; `glossa doctor` checks this machine") from None
    return 0


@click.command(
    "stop",
    help="End what `glossa up` started from this checkout. What it stored stays.",
    epilog=examples("glossa stop", "glossa stop --forget"),
)
@home_option
@click.option("--forget", is_flag=True, help="Remove its stored state too: buckets, tables, queues and the deployment.")
def stop_command(*, home: Path | None, forget: bool) -> int:
    """Run the command; return its exit code."""
    from local.stop import stop  # noqa: PLC0415 - the product works without `local`
    from local.workspace import this_workspace  # noqa: PLC0415 - as above

    ended = stop(this_workspace(home), forget=forget)
    print(f"stopped: {', '.join(ended)}" if ended else "nothing was running")
    return 0
