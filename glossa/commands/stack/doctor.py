"""`glossa doctor`: says what this machine lacks for the local stack, and what to do about it.

Must not know how a check is made.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from glossa.commands.arguments import examples
from glossa.commands.stack.options import home_option, json_option

if TYPE_CHECKING:
    from local.doctor import Check

FINE, LACKING = 0, 1


@click.command(
    "doctor",
    help="Check what the local stack needs of this machine. The exit code is 1 when something is missing.",
    epilog=examples("glossa doctor", "glossa doctor --browser --aws", "glossa doctor --json"),
)
@home_option
@click.option("--browser", is_flag=True, help="Also the browser of the playground's tests.")
@click.option("--aws", is_flag=True, help="Also the credentials for `glossa deploy`; asks AWS who you are.")
@json_option
def doctor_command(*, home: Path | None, browser: bool, aws: bool, as_json: bool) -> int:
    """Run the command; return its exit code."""
    from local.doctor import all_checks  # noqa: PLC0415 - with `local`
    from local.workspace import this_workspace  # noqa: PLC0415 - the product works without `local`

    found = all_checks(this_workspace(home), browser=browser, aws=aws)
    print(json.dumps([asdict(check) for check in found]) if as_json else "\n".join(lines(found)))
    return LACKING if any(check.state == "missing" for check in found) else FINE


def lines(checks: list[Check]) -> list[str]:
    """Return a line for each check, with the way forward below it, and one that sums up."""
    found = []
    for check in checks:
        found.append(f"{check.state:<8} {check.name:<12} {check.found}")
        if check.way:
            found.append(f"{'':<21} {check.way}")
    n_missing = sum(check.state == "missing" for check in checks)
    return [*found, f"{n_missing} missing" if n_missing else "nothing is missing: `glossa up` starts the stack"]
