"""`glossa completion`: prints what a shell needs to complete commands, options and values of `glossa`.

click makes the scripts from the commands themselves. Must not know what the commands are.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from glossa.commands.remote.options import examples

NAME, VARIABLE = "glossa", "_GLOSSA_COMPLETE"
SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
# In the script of each shell: its call of the program, which click expects on PATH, and what takes the place of that.
CALLS = {
    "bash": ("bash_complete $1)", "bash_complete {})"),
    "zsh": (f"zsh_complete {NAME})", "zsh_complete {})"),
    "fish": (f"(commandline -t) {NAME})", "(commandline -t) {})"),
}
ON_PATH = f"    (( ! $+commands[{NAME}] )) && return 1\n"  # zsh's script asks whether the program is on PATH
HELP = """\
Print a script for bash, zsh or fish that completes `glossa`.

It calls this very program, so `glossa` may also be a function of your shell, such as
glossa() { .venv/bin/python -m glossa "$@"; }
"""
EXAMPLES = examples(
    'eval "$(glossa completion bash)"    # in ~/.bashrc',
    'eval "$(glossa completion zsh)"     # in ~/.zshrc, after compinit',
    "glossa completion fish > ~/.config/fish/completions/glossa.fish",
)


@click.command("completion", help=HELP, epilog=EXAMPLES)
@click.argument("shell", type=click.Choice(list(SHELLS)))
def completion_command(*, shell: str) -> int:
    """Run the command; return its exit code."""
    print(script(shell, program()))
    return 0


def program() -> str:
    """Return the words that start this program from any folder."""
    started = Path(sys.argv[0])
    if started.name == NAME:
        return shlex.quote(str(started.absolute()))
    checkout = Path(__file__).parents[3]
    return f"PYTHONPATH={shlex.quote(str(checkout))} {shlex.quote(sys.executable)} -m glossa"


def script(shell: str, calls: str) -> str:
    """Return the script of a shell that calls a program by these words."""
    made = SHELLS[shell](click.Command(NAME), {}, NAME, VARIABLE).source()
    call, ours = CALLS[shell]
    if call not in made:
        raise ValueError(f"got a script of click without {call!r}, expected one of click 8; install the locked version")
    return made.replace(call, ours.format(calls)).replace(ON_PATH, "")
