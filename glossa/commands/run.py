"""`glossa run`: texts in, one JSON line out for each, by the desks and the engine in this process.

No AWS, no Ray. torch is imported when the model is loaded, after everything else was checked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from functions.messages import TextInput
from functions.pipeline.pipeline import Infer, Pipeline
from functions.pipeline.route import choose_head
from functions.tasks.registry import parse_parameters
from functions.tasks.task import TaskParameters, TextRequest
from glossa.commands.input_lines import Format, Line, batches, read_line
from glossa.tokenizer_build.checkpoints import tokenizer_of
from shared.catalog import Catalog, Model
from shared.errors import GlossaError
from shared.messages import InferCall, ModelOutput

Out = Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked of every line."""

    task: str
    model: str | None
    parameters: Mapping[str, object]
    form: Format = "auto"


def run(catalog: Catalog, root: Path, job: Job, stream: BinaryIO, write: Out) -> int:
    """Answer every line of `stream` in order; return 0, or 1 when some line could not be answered.

    Raises GlossaError or ValueError when the task, the model or the parameters are at fault.
    """
    parameters = parse_parameters(job.task, job.parameters)
    model = catalog.model(choose_head(job.task, parameters, job.model, catalog).model)
    pipeline = Pipeline(catalog, {model.name: tokenizer_of(model, root)})
    answering = _Answering(pipeline, job, parameters, load(model, root))
    failed = 0
    for batch in batches(stream):
        lines = answering.lines(batch)
        failed += sum(isinstance(value, GlossaError) for value in lines)
        write(b"".join(_encoded(line, value) for line, value in zip(batch, lines, strict=True)))
    return 1 if failed else 0


def load(model: Model, root: Path) -> Infer:
    """Load the model's engine into this process. Raises CheckpointError."""
    from serve.engine.load_engine import load_engine  # noqa: PLC0415 - imports torch, which comes last
    from serve.engine.run_call import infer  # noqa: PLC0415 - imports torch, which comes last

    engine = load_engine(model, root)

    def answer(calls: Sequence[InferCall]) -> list[ModelOutput]:
        return [infer(engine, call) for call in calls]

    return answer


@dataclass(frozen=True, slots=True)
class _Answering:
    pipeline: Pipeline
    job: Job
    parameters: TaskParameters
    infer: Infer

    def lines(self, batch: Sequence[Line]) -> list[object]:
        """Return a value or an error for each line."""
        found: dict[int, object] = {}
        inputs: dict[int, TextInput] = {}
        for i, line in enumerate(batch):
            try:
                inputs[i] = read_line(line, self.job.task, self.job.form)
            except GlossaError as error:
                found[i] = error
        found |= self._answers(inputs)
        return [found[i] for i in range(len(batch))]

    def _answers(self, inputs: Mapping[int, TextInput]) -> dict[int, object]:
        if not inputs:
            return {}
        request = TextRequest(self.job.task, tuple(inputs.values()), self.parameters, self.job.model)
        try:
            result, errors = self.pipeline.run_valid_inputs(request, self.infer)
        except GlossaError as error:  # some line is at fault: find it by asking one by one
            if len(inputs) == 1:
                return dict.fromkeys(inputs, error)
            return {i: value for k in inputs for i, value in self._answers({k: inputs[k]}).items()}
        values = iter(result.values)
        return {i: errors[k] if k in errors else self._unwrapped(next(values)) for k, i in enumerate(inputs)}

    def _unwrapped(self, value: object) -> object:
        """Return the only guess itself where a single one was asked for."""
        if self.parameters.returns_one and isinstance(value, list) and len(value) == 1:
            return value[0]
        return value


def _encoded(line: Line, value: object) -> bytes:
    if isinstance(value, GlossaError):
        value = {"error": _message(value.message), "code": value.code, "line": line.number}
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


def _message(message: str) -> str:
    """Return a message without the place it names: `inputs[3]: ` is no place in a stream of lines."""
    place, colon, rest = message.partition(": ")
    return rest if colon and place.startswith(("inputs[", "line ")) else message


def parse_pairs(pairs: Iterable[str]) -> dict[str, object]:
    """Read `key=value` pairs; a value is JSON where it is some, a plain string else. Raises ValueError."""
    found: dict[str, object] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise ValueError(f"got --param {pair!r}, expected key=value")
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
    return found
