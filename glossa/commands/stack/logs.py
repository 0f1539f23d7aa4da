"""`glossa logs`: prints the ends of the local stack's logs, and follows them. The program `tail` does the work."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import click

from glossa.commands.arguments import examples
from glossa.commands.stack.options import home_option

SUFFIX = ".log"
USUAL = ("serve", "emulator")  # what is shown when no part is named


@click.command(
    "logs",
    help="Print the end of each log of the local stack, or of one PART: serve (models), emulator (AWS), sam-deploy.",
    short_help="Print or follow the logs.",
    epilog=examples("glossa logs", "glossa logs -f serve", "glossa logs -n 200 sam-deploy"),
)
@click.argument("part", required=False)
@home_option
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(min=0), default=30, show_default=True, help="Lines of each log.")
def logs_command(*, part: str | None, home: Path | None, follow: bool, lines: int) -> int:
    """Run the command; return its exit code."""
    from local.workspace import this_workspace  # noqa: PLC0415 - the product works without `local`

    paths = chosen(files(this_workspace(home).home / "log"), part)
    command = ["tail", "-n", str(lines), *(["-F"] if follow else []), *map(str, paths)]
    return subprocess.run(command, check=False).returncode


def files(folder: Path) -> dict[str, Path]:
    """Return the logs of a folder by the names of their parts."""
    return {path.name.removesuffix(SUFFIX): path for path in sorted(folder.glob(f"*{SUFFIX}"))}


def chosen(found: Mapping[str, Path], part: str | None) -> list[Path]:
    """Return the log of a part, or the usual ones. Raises ValueError when there is none."""
    if not found:
        raise ValueError("got no logs, expected those of a stack; `glossa up` starts one")
    if part is None:
        return [found[name] for name in USUAL if name in found] or list(found.values())
    if part not in found:
        raise ValueError(f"got part {part!r}, expected one of {', '.join(found)}")
    return [found[part]]
