"""Options that the commands of the local stack share. Must not know what the commands do."""

from __future__ import annotations

from pathlib import Path

import click

from glossa.commands.arguments import F


def home_option(command: F) -> F:
    """Add --home, the folder of the stack."""
    text = "The folder of the stack. Default: GLOSSA_HOME, else .local of the checkout."
    return click.option("--home", type=click.Path(path_type=Path), metavar="FOLDER", help=text)(command)


def json_option(command: F) -> F:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON value instead of lines for people.")(command)
