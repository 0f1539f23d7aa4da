"""Helpers that tokenize or answer one request with the tiny model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from functions.http.text_json import parse_request
from functions.messages import Result, TextInput, Tokenized
from functions.pipeline.pipeline import Pipeline
from functions.pipeline.tokenize import tokenize
from functions.tasks.parse import parse_parameters
from functions.tasks.task import TextRequest
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Catalog, Model
from shared.messages import InferCall, ModelOutput, Tensor
from tests.unit.functions.http.bodies import valid_body
from tests.unit.functions.tokenizers import tiny

LONG = " ".join(tiny.SENTENCES)


ZERO_SHOT = {"candidate_labels": ["weather", "human rights", "sports and other games"]}


Numbers = Callable[[Sequence[int]], Mapping[str, list[float]]]


def tokenize_request(model: Model, tokenizer: Tokenizer, task: str, inputs: Any = None, **parameters: Any) -> Tokenized:
    """Tokenize one request. Raises the error of the first bad input."""
    request = parse_request(task, valid_body(task, inputs, **parameters))
    tokenized = tokenize(request, model, tokenizer)
    if tokenized.errors:
        raise tokenized.errors[min(tokenized.errors)]
    return tokenized


def run_request(model: Model, tokenizer: Tokenizer, body: Mapping[str, Any], task: str, infer_calls: Any) -> Result:
    """Answer one request with the pipeline. `infer_calls` stands for the model server."""
    pipeline = Pipeline(Catalog(default_model="tiny", models={"tiny": model}), {"tiny": tokenizer})
    return pipeline.run(parse_request(task, body), infer_calls)


def infer_rows(numbers: Numbers) -> Callable[[Sequence[InferCall]], list[ModelOutput]]:
    """Return an `infer` that answers each row with tensors [1, n] computed from its ids."""
    return lambda calls: [_output(call, numbers) for call in calls]


def _output(call: InferCall, numbers: Numbers) -> ModelOutput:
    ids, found, start = call.input_ids.int_values().tolist(), [], 0
    for length in call.row_lengths.int_values().tolist():
        found.append(numbers(ids[start : start + length]))
        start += length
    joined = {name: [x for row in found for x in row[name]] for name in found[0]}
    shape = {name: (len(found), len(found[0][name])) for name in joined}
    return ModelOutput({name: Tensor.floats(values, shape[name]) for name, values in joined.items()})


def with_languages(model: Model) -> Model:
    """Return the same model as an XLM model that reads two languages."""
    return model.model_copy(update={"family": "xlm", "lang2id": {"en": 4, "fr": 7}})


def tokenize_inputs(
    task: str, *inputs: TextInput, model: Model, tokenizer: Tokenizer, **parameters: object
) -> Tokenized:
    """Tokenize these inputs. Raises the error of the first bad input."""
    tokenized = tokenize(TextRequest(task, inputs, parse_parameters(task, parameters)), model, tokenizer)
    if tokenized.errors:
        raise tokenized.errors[min(tokenized.errors)]
    return tokenized
