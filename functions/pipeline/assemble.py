"""The last stage: what the model answered -> one JSON-ready value for each input.

The task's assembler says which tensors it reads, and makes one input's value of them. Must not know how the tensors
came here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from functions.messages import Result, Route, Tokenized
from functions.pipeline.read_outputs import read_outputs
from functions.tasks.postprocessing.output_rows import AnswerContext
from functions.tasks.registry import assembler_of
from functions.tasks.task import TextRequest
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Model
from shared.messages import ModelOutput


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
    assembler = assembler_of(request.task, head.variant)
    context: AnswerContext[Any] = AnswerContext(request.parameters, head, tokenizer, tokenized.target_ids)
    wanted = assembler.outputs(request.parameters, tokenized.target_ids)
    answered = zip(tokenized.windows, read_outputs(wanted, tokenized.windows, outputs), strict=True)
    values, n_windows, n_tokens = [], [], []
    for row, pairs in groupby(answered, key=lambda pair: pair[0].row):
        windows, answers = zip(*pairs, strict=True)
        values.append(assembler.value(context, request.inputs[row], windows, answers))
        n_windows.append(len(windows))
        n_tokens.append(sum(len(window.input_ids) for window in windows))
    return Result(tuple(values), route.model, route.head, tuple(n_windows), tokenized.truncated, tuple(n_tokens))
