"""The third desk: what the model answered -> one JSON-ready value per input.

A task's assembler is the file named for it, and for the head's variant where it has one: `outputs(parameters,
target_ids)` says which tensors it reads and how many rows of each a window has, `value(asked, item,
windows, answers)` makes one input's value. Must not know how the tensors came here.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from itertools import groupby
from typing import Any

from functions.http.text_request import parse_parameters
from functions.tasks.postprocessing.output_rows import AnswerContext, answers
from functions.tasks.registry import TASKS
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Model
from shared.messages import ModelOutput, Result, Route, TextRequest, Tokenized

# Modules by task; Any because a module's functions are found by name.
ASSEMBLERS: dict[str, Any] = {
    task: import_module(f"functions.tasks.{task.replace('-', '_')}") for task in (*TASKS, "question-answering-beam")
}


def assemble(
    request: TextRequest,
    model: Model,
    routed: Route,
    tokenized: Tokenized,
    inferred: Sequence[ModelOutput],
    tokenizer: Tokenizer,
) -> Result:
    """Make the answer of a request from the answers of its calls, in the calls' order.

    `n_tokens` counts what the model read: special tokens and overlaps included. Raises ReplicaError
    when the tensors do not fit the windows.
    """
    head = model.heads[routed.head]
    assembler = ASSEMBLERS[f"{request.task}-{head.variant}" if head.variant else request.task]
    parameters = parse_parameters(request.task, request.parameters)
    asked = AnswerContext(parameters, head, tokenizer, tokenized.target_ids)
    outputs = assembler.outputs(parameters, tokenized.target_ids)
    answered = zip(tokenized.windows, answers(outputs, tokenized.windows, inferred), strict=True)
    values, n_windows, n_tokens = [], [], []
    for row, pairs in groupby(answered, key=lambda pair: pair[0].row):
        windows, parts = zip(*pairs, strict=True)
        values.append(assembler.value(asked, request.inputs[row], windows, parts))
        n_windows.append(len(windows))
        n_tokens.append(sum(len(window.input_ids) for window in windows))
    return Result(tuple(values), routed.model, routed.head, tuple(n_windows), tokenized.truncated, tuple(n_tokens))
