"""`glossa run`: answers lines of texts by the engine in this process.

It needs neither AWS nor Ray. torch is imported when the model is loaded, after everything else was checked. While the
engine works on one batch of lines, other threads read, tokenize and write the batches beside it.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar, get_args

import click

from functions.messages import TextInput
from functions.pipeline.pipeline import Infer, Pipeline
from functions.pipeline.route import choose_head
from functions.tasks.parse import parse_parameters
from functions.tasks.registry import TASK_NAMES
from functions.tasks.task import TaskParameters, TextRequest
from glossa.commands.answers.in_order import in_order
from glossa.commands.answers.input_lines import (
    Format,
    Line,
    Source,
    Stream,
    batches,
    read_line,
    source_of,
    write_stdout,
)
from glossa.commands.answers.output_rows import JsonLines, Output, Rows, rows_of
from glossa.commands.answers.run_progress import run_progress
from glossa.commands.arguments import (
    F,
    catalog_option,
    examples,
    model_option,
    open_catalog,
    parameters_option,
    read_parameters,
)
from glossa.tokenizer_build.checkpoints import tokenizer_of
from shared.catalog import Catalog, Model
from shared.errors import GlossaError
from shared.messages import InferCall, ModelOutput

HELP = """\
Answer each line of the FILEs, or of standard input, by a model in this process.

A line is a text, a JSON string, or a JSON object with the names of the task: {"text", "text_pair"}, {"question",
"context"}, {"text", "choices"}, {"query", "documents"}, {"source_sentence", "sentences"}, each also with "lang" for
models that read languages. Lines may hold 4,000,000 bytes of UTF-8.

A line that cannot be answered gets an error in its place, and the exit code is then 1.
"""
EXAMPLES = examples(
    "echo 'The team won.' | glossa run --task text-classification",
    "glossa run --task token-classification --text 'Angela Merkel visited Paris.' --output table",
    'glossa run --task zero-shot-classification --param \'candidate_labels=["sports", "health"]\' mails.txt',
    "glossa run --task text-classification --model mini:topic --param top_k=3 --output tsv a.txt b.txt > topics.tsv",
)
THREADS = 2  # that tokenize and assemble; the engine has one of its own
MIN_TABLE_COLUMNS, FILE_COLUMNS = 40, 120
Write = Callable[[bytes], object]
V = TypeVar("V")
Finish = Callable[[Sequence[Line], Sequence[object]], V]  # from lines and their answers


@dataclass(frozen=True, slots=True)
class LineRequest:
    """What is done with every line: the task, the model (None: the default one), and how a line is read."""

    task: str
    model: str | None
    parameters: Mapping[str, object]
    form: Format = "auto"


def format_option(command: F) -> F:
    """Add --format."""
    kinds = click.Choice(get_args(Format))
    text = "How lines are read."
    return click.option("--format", "form", type=kinds, default="auto", show_default=True, help=text)(command)


@click.command("run", help=HELP, epilog=EXAMPLES, short_help="Answer each line of files, or of standard input.")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@catalog_option
@click.option(
    "--task",
    required=True,
    metavar="TASK",
    help=f"One of {', '.join(TASK_NAMES)}.",
    shell_complete=lambda ctx, param, incomplete: [name for name in TASK_NAMES if name.startswith(incomplete)],  # noqa: ARG005 - click's signature
)
@model_option
@parameters_option
@click.option("--text", "texts", multiple=True, metavar="TEXT", help="A text, in place of files; repeatable.")
@format_option
@click.option(
    "--output",
    type=click.Choice(get_args(Output)),
    default="jsonl",
    show_default=True,
    help="JSON lines, a table for people, or tab-separated values.",
)
def run_command(
    *,
    files: Sequence[str],
    catalog_path: Path,
    task: str,
    model: str | None,
    parameters: Sequence[str],
    texts: Sequence[str],
    form: Format,
    output: Output,
) -> int:
    """Run the command; return its exit code."""
    line_request = LineRequest(task, model, read_parameters(parameters), form)
    source = source_of(files, texts)
    rows = rows_of(output, task, table_columns())
    return run_files(open_catalog(catalog_path), catalog_path.parent, line_request, source, rows)


def table_columns() -> int:
    """Return the columns of a table on standard output."""
    return max(MIN_TABLE_COLUMNS, shutil.get_terminal_size().columns) if sys.stdout.isatty() else FILE_COLUMNS


def run_files(
    catalog: Catalog, root: Path, line_request: LineRequest, source: Source, rows: Rows, write: Write = write_stdout
) -> int:
    """Answer the lines of a source; write a header and the rows of each line.

    Returns 0, or 1 when some line could not be answered. Raises GlossaError or ValueError when the task, the model or
    the parameters are wrong.
    """
    failed = 0
    finish = partial(_encoded, rows)
    with (
        run_progress(source.total_bytes()) as advance,
        closing(answered(catalog, root, line_request, source.lines(), finish)) as found,
    ):
        header = rows.header()
        for batch in found:
            write(header + batch.data)
            header = b""
            failed += batch.n_failed
            advance(batch.n_lines, batch.n_bytes)
    if header:  # there was no line
        write(header)
    return 1 if failed else 0


def run(catalog: Catalog, root: Path, line_request: LineRequest, stream: BinaryIO, write: Write) -> int:
    """Answer every line of `stream` by a line of JSON; see `run_files`."""
    return run_files(catalog, root, line_request, Stream(stream), JsonLines(), write)


def answered(
    catalog: Catalog, root: Path, line_request: LineRequest, lines: Iterable[Line], finish: Finish[V]
) -> Generator[V, None, None]:
    """Answer lines in batches; yield what `finish` makes of each batch and its answers, in order.

    The answer to a line is a value or a GlossaError. `finish` is called on several threads.
    """
    parameters = parse_parameters(line_request.task, line_request.parameters)
    model = catalog.model(choose_head(line_request.task, parameters, line_request.model, catalog).model)
    # Loading and all passes are on one thread: libgomp keeps a team of workers for each thread that computes.
    with ThreadPoolExecutor(1, "engine") as engine:
        loading = engine.submit(load, model, root)
        pipeline = Pipeline(catalog, {model.name: tokenizer_of(model, root)})
        infer = loading.result()

        def on_engine(calls: Sequence[InferCall]) -> list[ModelOutput]:
            return engine.submit(infer, calls).result()

        answering = _Answering(pipeline, line_request, parameters, on_engine)
        yield from in_order(batches(lines), lambda batch: finish(batch, answering.values(batch)), THREADS)


def load(model: Model, root: Path) -> Infer:
    """Load the model's engine into this process. Raises CheckpointError."""
    from serve.engine.load_engine import load_engine  # noqa: PLC0415 - imports torch
    from serve.engine.run_call import infer  # noqa: PLC0415 - imports torch

    engine = load_engine(model, root)

    def answer(calls: Sequence[InferCall]) -> list[ModelOutput]:
        return [infer(engine, call) for call in calls]

    return answer


@dataclass(frozen=True, slots=True)
class _Encoded:
    """The rows of a batch of lines. `n_bytes` is what was read, line ends included."""

    data: bytes
    n_lines: int
    n_bytes: int
    n_failed: int


def _encoded(rows: Rows, batch: Sequence[Line], values: Sequence[object]) -> _Encoded:
    return _Encoded(
        b"".join(rows.rows(line, value) for line, value in zip(batch, values, strict=True)),
        len(batch),
        sum(line.n_bytes + 1 for line in batch),
        sum(isinstance(value, GlossaError) for value in values),
    )


@dataclass(frozen=True, slots=True)
class _Answering:
    """Answers batches of lines with one model. Its methods may be called from several threads."""

    pipeline: Pipeline
    line_request: LineRequest
    parameters: TaskParameters
    infer: Infer

    def values(self, batch: Sequence[Line]) -> list[object]:
        """Return a value or an error for each line."""
        found: dict[int, object] = {}
        inputs: dict[int, TextInput] = {}
        for i, line in enumerate(batch):
            try:
                inputs[i] = read_line(line, self.line_request.task, self.line_request.form)
            except GlossaError as error:
                found[i] = error
        found |= self._answers(inputs)
        return [found[i] for i in range(len(batch))]

    def _answers(self, inputs: Mapping[int, TextInput]) -> dict[int, object]:
        if not inputs:
            return {}
        request = TextRequest(self.line_request.task, tuple(inputs.values()), self.parameters, self.line_request.model)
        try:
            result, errors = self.pipeline.run_valid_inputs(request, self.infer)
        except GlossaError as error:  # one line is wrong; asking one by one finds it
            if len(inputs) == 1:
                return dict.fromkeys(inputs, error)
            return {i: value for k in inputs for i, value in self._answers({k: inputs[k]}).items()}
        values = iter(result.values)
        return {i: errors[k] if k in errors else self._unwrapped(next(values)) for k, i in enumerate(inputs)}

    def _unwrapped(self, value: object) -> object:
        """Return the only guess itself, without its list, when the parameters ask for one guess."""
        if self.parameters.returns_one and isinstance(value, list) and len(value) == 1:
            return value[0]
        return value
