"""The command line: finds the command that was typed, runs it, and prints errors in one line.

EXIT_CODES says what the exit codes of all commands mean. A command's file is imported when the command is used, so that
`python -m glossa` starts fast.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import click
from click.shell_completion import shell_complete

from glossa import __version__

# The errors with a message for people, and a hint, by their modules. A command imports these when it needs them: the
# client takes longer to import than all else here, and the wheel has no `shared`.
PRINTED = {"glossa.client.errors": "ApiError", "shared.errors": "GlossaError"}
INTERRUPTED = 130
ROOM = 62  # columns of a command's help in the list
AWS_LIBRARIES = frozenset({"boto3", "botocore"})  # by name, because importing them takes 300 ms
# The commands by what they are for, each by its name: its file in glossa/commands, and the command in that file.
SECTIONS = {
    "Texts, by a model in this process": {
        "run": ("answers.run", "run_command"),
        "embed": ("answers.embed", "embed_command"),
        "tokenize": ("answers.tokens", "tokenize_command"),
        "detokenize": ("answers.tokens", "detokenize_command"),
        "evaluate": ("evaluate", "evaluate_command"),
    },
    "Models and their heads": {
        "models": ("models", "models_command"),
        "catalog": ("catalog.group", "catalog_group"),
        "head": ("head.group", "head_group"),
        "artifacts": ("artifacts", "artifacts_command"),
    },
    "The whole service on this machine": {
        "up": ("stack.up", "up_command"),
        "status": ("stack.status", "status_command"),
        "logs": ("stack.logs", "logs_command"),
        "doctor": ("stack.doctor", "doctor_command"),
        "stop": ("stack.up", "stop_command"),
    },
    "A service that runs": {
        "ask": ("remote.ask", "ask_command"),
        "batch": ("remote.batch", "batch_group"),
        "proxy": ("remote.proxy", "proxy_command"),
    },
    "An AWS account": {
        "deploy": ("operations.deploy", "deploy_command"),
        "destroy": ("operations.deploy", "destroy_command"),
        "weights": ("operations.weights", "weights_group"),
        "keys": ("operations.keys", "keys_group"),
        "call-keys": ("operations.call_keys", "call_keys_group"),
        "dead-letters": ("operations.dead_letters", "dead_letters_group"),
        "cost": ("operations.cost", "cost_command"),
    },
    "Your shell": {
        "completion": ("remote.completion", "completion_command"),
    },
}
COMMANDS = {name: place for commands in SECTIONS.values() for name, place in commands.items()}
EXIT_CODES = """\
\b
Exit codes:
  0    done
  1    done in part: a line or record has an error, a job did not succeed, a check failed, a part is not ready
  2    not done: wrong arguments, or an error that the last line names
  130  interrupted by Ctrl-C
"""
COMPLETES = "_GLOSSA_COMPLETE"  # set by what `glossa completion` prints, when a shell asks how a word may go on
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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with the first sentence of their help, in sections."""
        width = max(map(len, COMMANDS))
        for title, names in SECTIONS.items():
            found = [(name, self.get_command(ctx, name)) for name in names]
            rows = [(f"{name:<{width}}", each.get_short_help_str(ROOM)) for name, each in found if each is not None]
            with formatter.section(title):
                formatter.write_dl(rows)


def needs_checkout(name: str) -> click.Command:
    """Return a command that takes any arguments, and says that it needs the checkout."""

    def refuse(**_: object) -> NoReturn:
        from glossa.client.errors import InvalidRequest  # noqa: PLC0415 - slow, and only this refusal needs it

        remote = ", ".join(sorted(filter(is_remote, COMMANDS)))
        way = f"clone the repository, run `make setup` there, then `.venv/bin/python -m glossa {name}`"
        found = f"got the command {name}, which needs a checkout of Glossa; this is the wheel, with {remote}"
        raise InvalidRequest(found, hint=way)

    arguments = click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)
    settings = {"ignore_unknown_options": True, "help_option_names": []}
    text = "Needs a checkout of Glossa."
    return click.Command(name, settings, refuse, [arguments], help=text, add_help_option=False)


def print_version(ctx: click.Context, param: click.Parameter, value: object) -> None:  # noqa: ARG001 - click's signature
    """Print the version if it was asked for, and end."""
    if value:
        print(f"glossa {__version__}")
        ctx.exit()


root = LazyGroup(
    name="glossa",
    help="Cross-lingual NLP with the XLM family of models. `glossa COMMAND --help` has the options, and examples.",
    epilog=EXIT_CODES,
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=print_version,
            help="Print the version and exit.",
        )
    ],
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
    except Exception as error:
        if (words_of := printed(error)) is not None:
            return _print_error(*words_of)
        if isinstance(error, ValueError | OSError):
            return _print_error(str(error))
        if type(error).__module__.partition(".")[0] not in AWS_LIBRARIES:
            raise
        return _print_error(f"AWS refused: {error}")


def printed(error: Any) -> tuple[str, str | None] | None:
    """Return the message and the hint of an error that has both for people; None for any other."""
    kinds = [getattr(sys.modules[module], kind) for module, kind in PRINTED.items() if module in sys.modules]
    is_ours = isinstance(error, tuple(kinds))
    return (error.message, error.hint) if is_ours else None


def _run(words: list[str], group: click.Group) -> int:
    if instruction := os.environ.get(COMPLETES):
        return shell_complete(group, {}, "glossa", COMPLETES, instruction)
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
