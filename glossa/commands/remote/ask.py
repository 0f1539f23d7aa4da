"""`glossa ask`: sends lines of texts to an API that runs, and prints one JSON line for each.

Lines travel several in one request. Where a request is refused, its lines are asked for in halves, so that one bad line
costs the others nothing. If all lines of the first request are refused alike, that is the end. Must not know how a task
is done.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import click

from glossa.client import ApiError, Client, InvalidRequest
from glossa.commands.remote.options import examples, model_option, parameters_option, read_parameters, url_option
from glossa.commands.remote.settings import api_address

REFUSED = frozenset({400, 413, 422})  # what one line of a request may have caused
LINES_A_REQUEST = 32
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LOOK_AT = "look at --task, --model and --param"
DONE, SOME_FAILED = 0, 1
OpenClient = Callable[[str], Client]  # from the address of the API
HELP = """\
Answer each line of the FILEs, or of standard input, by an API that runs.

A line is a text, a JSON string, or a JSON object with the names of the task, such as {"question", "context"}. Each
answer is a line of JSON, as the API gives it. A line that cannot be answered gets an error in its place, and the exit
code is then 1. If all lines of the first request get the same error, it is printed once, the other lines are not asked
for, and the exit code is 2. For thousands of lines take `glossa batch`.
"""
EXAMPLES = examples(
    'glossa ask --task text-classification --text "The team won the match."',
    "glossa ask --task fill-mask --param top_k=1 masks.txt > words.jsonl",
)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the API for every line."""

    client: Client
    task: str
    model: str | None
    parameters: dict[str, Any]

    def answers(self, inputs: Sequence[object]) -> list[Any]:
        """Return a value or an ApiError for each input. Raises ApiError for what no single input has caused."""
        try:
            return list(self.client.run_task(self.task, inputs, self.parameters, self.model))
        except ApiError as error:
            if error.status not in REFUSED:
                raise
            if len(inputs) == 1:
                return [error]
        middle = len(inputs) // 2
        return self.answers(inputs[:middle]) + self.answers(inputs[middle:])


@click.command("ask", help=HELP, epilog=EXAMPLES, short_help="Answer each line of files by the API.")
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@url_option
@click.option("--task", required=True, metavar="TASK")
@model_option
@parameters_option
@click.option("--text", "texts", multiple=True, metavar="TEXT", help="A line, in place of files; repeatable.")
@click.option(
    "--lines-per-request", "n_lines", type=click.IntRange(1, 1000), default=LINES_A_REQUEST, show_default=True
)
def ask_command(
    *,
    files: Sequence[Path],
    url: str | None,
    task: str,
    model: str | None,
    parameters: Sequence[str],
    texts: Sequence[str],
    n_lines: int,
) -> int:
    """Run the command; return its exit code."""
    if files and texts:
        raise ValueError("got --text and files, expected one of them")
    open_client: OpenClient = click.get_current_context().obj or Client
    question = Question(open_client(api_address(url)), task, model, read_parameters(parameters))
    lines = enumerate((text.encode() for text in texts) if texts else _lines(files), 1)
    code = DONE
    while batch := list(islice(lines, n_lines)):
        found = _answers(question, batch)
        if batch[0][0] == 1:
            _check_first(found)
        code = max(code, _print_answers(found))
    return code


def _check_first(found: Mapping[int, object]) -> None:
    """Raise the error that all lines of the first request have, if there are several: no line has caused it."""
    errors = [value for value in found.values() if isinstance(value, ApiError)]
    if len(errors) == len(found) > 1 and len({error.message for error in errors}) == 1:
        errors[0].hint = errors[0].hint or f"all {len(errors)} lines of the first request got this error: {LOOK_AT}"
        raise errors[0]


def _lines(files: Sequence[Path]) -> Iterator[bytes]:
    """Yield the lines of files, or of standard input, without their ends."""
    if not files:
        if sys.stdin.isatty():
            print("reading lines from the terminal; end with Ctrl-D", file=sys.stderr)
        yield from _without_ends(sys.stdin.buffer)
    for path in files:
        with path.open("rb") as file:
            yield from _without_ends(file)


def _without_ends(lines: Iterable[bytes]) -> Iterator[bytes]:
    for number, line in enumerate(lines, 1):
        text = line.removesuffix(b"\n").removesuffix(b"\r")
        yield text.removeprefix(BYTE_ORDER_MARK) if number == 1 else text


def _input(line: bytes) -> object:
    """Return what a line asks for: a JSON object or string as such, any other line as a text.

    Returns an ApiError for bytes that are no UTF-8: an answer to other characters would be wrong.
    """
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        return InvalidRequest(f"got a byte that is not UTF-8 at {error.start}, expected UTF-8", code="bad-request")
    if text.lstrip()[:1] in {"{", '"'}:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return text
        if isinstance(found, dict | str):
            return found
    return text


def _answers(question: Question, batch: Sequence[tuple[int, bytes]]) -> dict[int, Any]:
    """Return an answer, or an ApiError, for each of a batch of numbered lines."""
    inputs = {number: _input(line) for number, line in batch}
    readable = {number: value for number, value in inputs.items() if not isinstance(value, ApiError)}
    answers = question.answers(list(readable.values())) if readable else []
    return inputs | dict(zip(readable, answers, strict=True))


def _print_answers(found: Mapping[int, Any]) -> int:
    """Print the answers of numbered lines; return 1 when one of them has an error, else 0."""
    for number, value in found.items():
        shown = {"error": value.message, "code": value.code, "line": number} if isinstance(value, ApiError) else value
        print(json.dumps(shown, ensure_ascii=False))
    sys.stdout.flush()
    return SOME_FAILED if any(isinstance(value, ApiError) for value in found.values()) else DONE
