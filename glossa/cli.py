"""The command line: finds the command that was typed, runs it, and prints errors in one line.

Exit codes: 0 done, 1 some lines or records could not be answered, 2 nothing could be done as asked.
A command's file is imported when the command is used, so that `python -m glossa` starts fast.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import click

from glossa.client.errors import ApiError, InvalidRequest

PRINTED: tuple[type[Any], ...] = (ApiError,)  # errors with a message for people, and a hint
try:
    from shared.errors import GlossaError
except ImportError:  # the wheel has no `shared`, and none of its errors
    pass
else:
    PRINTED = (ApiError, GlossaError)

INTERRUPTED = 130
AWS_LIBRARIES = frozenset({"boto3", "botocore"})  # by name, because importing them takes 300 ms
# Each command by name: its file in glossa/commands, and the command in that file.
COMMANDS = {
    "run": ("run", "run_command"),
    "tokenize": ("tokens", "tokenize_command"),
    "detokenize": ("tokens", "detokenize_command"),
    "evaluate": ("evaluate", "evaluate_command"),
    "models": ("models", "models_command"),
    "artifacts": ("artifacts", "artifacts_command"),
    "catalog": ("catalog.group", "catalog_group"),
    "head": ("head.group", "head_group"),
    "batch": ("remote.batch", "batch_group"),
    "ask": ("remote.ask", "ask_command"),
    "proxy": ("remote.proxy", "proxy_command"),
    "call-keys": ("operations.call_keys", "call_keys_group"),
    "keys": ("operations.keys", "keys_group"),
    "cost": ("operations.cost", "cost_command"),
    "dead-letters": ("operations.dead_letters", "dead_letters_group"),
    "weights": ("operations.weights", "weights_group"),
    "deploy": ("operations.deploy", "deploy_command"),
    "destroy": ("operations.deploy", "destroy_command"),
}
IS_CHECKOUT = (Path(__file__).parents[1] / "catalog.toml").is_file()  # else it runs from the wheel


def is_remote(command: str) -> bool:
    """Whether a command needs no more than what the wheel holds: its file lies in `glossa/commands/remote`."""
    return COMMANDS[command][0].startswith("remote.")


class LazyGroup(click.Group):
    """A group that imports the file of a command when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Return a command by its name, None if there is none."""
        if cmd_name not in COMMANDS:
            return None
        if not IS_CHECKOUT and not is_remote(cmd_name):
            return needs_checkout(cmd_name)
        module, name = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"glossa.commands.{module}"), name)
        return command


def needs_checkout(name: str) -> click.Command:
    """Return a command that takes any arguments, and says that it needs the checkout."""

    def refuse(**_: object) -> NoReturn:
        remote = ", ".join(sorted(filter(is_remote, COMMANDS)))
        way = f"clone the repository, run `make setup` there, then `.venv/bin/python -m glossa {name}`"
        found = f"got the command {name}, which needs a checkout of Glossa; this is the wheel, with {remote}"
        raise InvalidRequest(found, hint=way)

    arguments = click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)
    settings = {"ignore_unknown_options": True, "help_option_names": []}
    text = "Needs a checkout of Glossa."
    return click.Command(name, settings, refuse, [arguments], help=text, add_help_option=False)


root = LazyGroup(
    name="glossa",
    help="Cross-lingual NLP with the XLM family of models.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


def main(arguments: Sequence[str] | None = None, group: click.Group = root) -> int:
    """Run one command of a group; return the exit code of the process.

    Raises SystemExit for help and for wrong arguments.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if sys.stdout is None:  # the caller has closed it
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - open until the process ends
    try:
        return _run(words, group)
    except BrokenPipeError:  # the program that read our output has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except PRINTED as error:
        return _print_error(error.message, error.hint)
    except (ValueError, OSError) as error:
        return _print_error(str(error))
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in AWS_LIBRARIES:
            raise
        return _print_error(f"AWS refused: {error}")


def _run(words: list[str], group: click.Group) -> int:
    # click's own `main` would turn a broken pipe into exit code 1 and an interrupt into a message.
    try:
        with group.make_context("glossa", words) as context:
            code: Any = group.invoke(context)
            return int(code or 0)
    except click.exceptions.Exit as done:
        raise SystemExit(done.exit_code) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except click.Abort:  # a question was interrupted, or nobody is there to answer it
        raise ValueError("got no answer to the question, expected one; without a terminal give --yes") from None


def _print_error(message: str, hint: str | None = None) -> int:
    print(f"glossa: {message}", file=sys.stderr)
    if hint:
        print(f"glossa: {hint}", file=sys.stderr)
    return 2
