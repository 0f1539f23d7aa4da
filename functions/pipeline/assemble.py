"""The last stage: what the model answered -> one JSON-ready value for each input.

The task's assembler says which tensors to read, and makes one input's value of them. The packed tensors of all calls
are read as one stream; a tensor that does not fit the windows is the model server's error. Must not know any one task,
nor how the tensors came here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any

from functions.messages import Result, Route, Tokenized, Window
from functions.tasks.postprocessing.output_rows import AnswerContext, Counted, RowsPerWindow, Vector
from functions.tasks.registry import TASKS
from functions.tasks.task import TextRequest
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Model
from shared.errors import NotFinite, ReplicaError, TooLarge
from shared.messages import ModelOutput, Tensor

FEWER = "send fewer or shorter texts in one request"


def assemble(
    request: TextRequest,
    route: Route,
    tokenized: Tokenized,
    outputs: Sequence[ModelOutput],
    model: Model,
    tokenizer: Tokenizer,
) -> Result:
    """Make the answer of a request from the outputs of its calls, in the calls' order.

    `request.inputs` are the inputs that `tokenized` has rows for. `n_tokens` counts what the model read: special
    tokens and overlaps included. Raises ReplicaError when the tensors do not fit the windows.
    """
    head = model.heads[route.head]
    assembler = TASKS[request.task].assembler_for(head)
    context: AnswerContext[Any] = AnswerContext(
        request.parameters, head, tokenizer, tokenized.target_ids, model.mask_token
    )
    wanted = assembler.outputs(request.parameters, tokenized.target_ids)
    answered = zip(tokenized.windows, read_outputs(wanted, tokenized.windows, outputs), strict=True)
    values, n_windows, n_tokens = [], [], []
    for index, pairs in groupby(answered, key=lambda pair: pair[0].input_index):
        windows, answers = zip(*pairs, strict=True)
        values.append(assembler.value(context, request.inputs[index], windows, answers))
        n_windows.append(len(windows))
        n_tokens.append(sum(len(window.input_ids) for window in windows))
    return Result(tuple(values), route.model, route.head, tuple(n_windows), tokenized.truncated, tuple(n_tokens))


def read_outputs(
    outputs: Mapping[str, RowsPerWindow], windows: Sequence[Window], model_outputs: Sequence[ModelOutput]
) -> Iterator[dict[str, list[Vector]]]:
    """Yield each window's rows of the named `outputs`, in order.

    In `outputs`, an output that counts must come before the output whose rows it counts.

    Raises ReplicaError when a tensor is missing, too short or too long, NotFinite when a value is not finite, and
    TooLarge before it makes more counted rows than the limit.
    """
    n_read = dict.fromkeys(outputs, 0)
    streams = {name: _rows(name, model_outputs) for name in outputs}
    for window in windows:
        taken: dict[str, list[Vector]] = {}
        for name, rows_per_window in outputs.items():
            n_rows = _n_rows(rows_per_window, window, taken)
            n_read[name] += n_rows
            if isinstance(rows_per_window, Counted) and n_read[name] > rows_per_window.most:
                raise TooLarge(f"got {n_read[name]} {name}, at most {rows_per_window.most} in one request", hint=FEWER)
            taken[name] = _take(name, streams[name], n_rows)
        yield taken
    for name, stream in streams.items():
        if (left := sum(1 for _ in stream)) > 0:
            raise ReplicaError(f"got {left} rows of {name!r} more than asked from the model server")


def _n_rows(unit: RowsPerWindow, window: Window, taken: Mapping[str, list[Vector]]) -> int:
    if isinstance(unit, Counted):
        return int(sum(map(sum, taken[unit.name])))
    if isinstance(unit, int):
        return unit
    return len(window.input_ids) if unit == "token" else len(window.positions)


def _take(name: str, stream: Iterator[Vector], n_rows: int) -> list[Vector]:
    taken = list(islice(stream, n_rows))
    if len(taken) < n_rows:
        raise ReplicaError(f"got too few rows of {name!r} from the model server, expected one for each asked")
    return taken


def _rows(name: str, model_outputs: Sequence[ModelOutput]) -> Iterator[Vector]:
    for answer in model_outputs:
        tensor = answer.outputs.get(name)
        if tensor is None:
            raise ReplicaError(f"got {sorted(answer.outputs)} from the model server, expected {name!r} among them")
        values = tensor.float_values() if tensor.datatype == "FP32" else tensor.int_values()
        width = _width(tensor)
        for start in range(0, len(values), width):
            row: Vector = list(values[start : start + width])
            if not math.isfinite(sum(row)):
                raise NotFinite(f"got {name!r} that is not a number from the model server, expected finite values")
            yield row


def _width(tensor: Tensor) -> int:
    return max(1, math.prod(tensor.shape[1:]))
