"""`glossa run`: answers each line of standard input with one JSON line, by the engine in this process.

It needs neither AWS nor Ray. torch is imported when the model is loaded, after everything else was checked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import click

from functions.messages import TextInput
from functions.pipeline.pipeline import Infer, Pipeline
from functions.pipeline.route import choose_head
from functions.tasks.parse import parse_parameters
from functions.tasks.registry import TASK_NAMES
from functions.tasks.task import TaskParameters, TextRequest
from glossa.commands.arguments import (
    catalog_option,
    model_option,
    open_catalog,
    parameters_option,
    read_parameters,
)
from glossa.commands.input_lines import Format, Line, batches, open_stdin, read_line, write_stdout
from glossa.tokenizer_build.checkpoints import tokenizer_of
from shared.catalog import Catalog, Model
from shared.errors import GlossaError
from shared.messages import InferCall, ModelOutput

LINES = """\
A line is a text, a JSON string, or a JSON object with the names of the task: {"text", "text_pair"}, {"question",
"context"}, {"text", "choices"}, {"query", "documents"}, {"source_sentence", "sentences"}, each also with "lang" for
models that read languages. A line that cannot be answered gets {"error", "code", "line"}, and the exit code is then 1.
Lines may hold 4,000,000 bytes of UTF-8.
"""

Write = Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class LineRequest:
    """What is done with every line: the task, the model (None: the default one), and how a line is read."""

    task: str
    model: str | None
    parameters: Mapping[str, object]
    form: Format = "auto"


@click.command("run", help="Answer each line of standard input with one JSON line.", epilog=LINES)
@catalog_option
@click.option("--task", required=True, metavar="TASK", help=f"One of {', '.join(TASK_NAMES)}.")
@model_option
@parameters_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["auto", "text", "jsonl"]),
    default="auto",
    show_default=True,
    help="How lines are read.",
)
def run_command(*, catalog_path: Path, task: str, model: str | None, parameters: Sequence[str], form: Format) -> int:
    """Run the command; return its exit code."""
    line_request = LineRequest(task, model, read_parameters(parameters), form)
    return run(open_catalog(catalog_path), catalog_path.parent, line_request, open_stdin(), write_stdout)


def run(catalog: Catalog, root: Path, line_request: LineRequest, stream: BinaryIO, write: Write) -> int:
    """Answer every line of `stream` in order; return 0, or 1 when some line could not be answered.

    Raises GlossaError or ValueError when the task, the model or the parameters are wrong.
    """
    parameters = parse_parameters(line_request.task, line_request.parameters)
    model = catalog.model(choose_head(line_request.task, parameters, line_request.model, catalog).model)
    pipeline = Pipeline(catalog, {model.name: tokenizer_of(model, root)})
    answering = _Answering(pipeline, line_request, parameters, load(model, root))
    failed = 0
    for batch in batches(stream):
        lines = answering.lines(batch)
        failed += sum(isinstance(value, GlossaError) for value in lines)
        write(b"".join(_encoded(line, value) for line, value in zip(batch, lines, strict=True)))
    return 1 if failed else 0


def load(model: Model, root: Path) -> Infer:
    """Load the model's engine into this process. Raises CheckpointError."""
    from serve.engine.load_engine import load_engine  # noqa: PLC0415 - imports torch
    from serve.engine.run_call import infer  # noqa: PLC0415 - imports torch

    engine = load_engine(model, root)

    def answer(calls: Sequence[InferCall]) -> list[ModelOutput]:
        return [infer(engine, call) for call in calls]

    return answer


@dataclass(frozen=True, slots=True)
class _Answering:
    """Answers batches of lines with one model."""

    pipeline: Pipeline
    line_request: LineRequest
    parameters: TaskParameters
    infer: Infer

    def lines(self, batch: Sequence[Line]) -> list[object]:
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


def _encoded(line: Line, value: object) -> bytes:
    if isinstance(value, GlossaError):
        value = {"error": _message(value.message), "code": value.code, "line": line.number}
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


def _message(message: str) -> str:
    """Return a message without the input that it names, because the numbers of a batch mean nothing to the caller."""
    name, colon, rest = message.partition(": ")
    return rest if colon and name.startswith(("inputs[", "line ")) else message
