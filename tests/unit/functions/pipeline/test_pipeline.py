"""The pipeline around the model: answers, timings, and inputs that fail alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import pytest

from functions.http.text_json import parse_request
from functions.messages import TextInput
from functions.pipeline.pipeline import Pipeline
from functions.tasks.parse import parse_parameters
from functions.tasks.task import TextRequest
from functions.tokenizers.tokenizer import Tokenizer
from serve.engine.fake import FakeEngine
from serve.engine.run_call import infer
from shared.catalog import Catalog, Model
from shared.errors import NotFound, Overloaded, Unprocessable
from shared.messages import InferCall, ModelOutput


@pytest.fixture
def pipeline(model: Model, tokenizer: Tokenizer) -> Pipeline:
    """Make a pipeline whose clock moves one second at each reading."""
    ticks = count()
    return Pipeline(
        Catalog(default_model="tiny", models={"tiny": model}), {"tiny": tokenizer}, lambda: float(next(ticks))
    )


def fill_mask(*texts: str) -> TextRequest:
    """Make a fill-mask request. Texts may lack a mask."""
    return TextRequest("fill-mask", tuple(map(TextInput, texts)), parse_parameters("fill-mask", None))


def infer_with(model: Model) -> object:
    """Return an `infer` that uses the fake engine."""
    engine = FakeEngine(model)
    return lambda calls: [infer(engine, call) for call in calls]


@pytest.mark.parametrize("task", ["text-classification", "token-classification", "fill-mask", "feature-extraction"])
def test_a_request_is_answered_with_its_timings(pipeline: Pipeline, model: Model, task: str) -> None:
    """Each input has one value, its number of windows and tokens, and the five stage times."""
    request = parse_request(task, {"inputs": ["a <mask> b", "<mask> " + "c " * 200]})
    result = pipeline.run(request, infer_with(model))  # type: ignore[arg-type]  # a plain lambda
    assert len(result.values) == len(result.n_windows) == len(result.n_tokens) == len(result.truncated) == 2
    assert result.n_windows[0] == 1
    assert result.n_tokens[0] == len(pipeline.tokenizers["tiny"].encode("a <mask> b").ids) + 2
    assert list(result.timings_s) == ["tokenize", "route", "queue", "infer", "assemble"]
    assert result.timings_s["tokenize"] == 1.0
    assert all(seconds >= 0 for seconds in result.timings_s.values())


def test_queue_time_is_not_counted_twice(pipeline: Pipeline, model: Model) -> None:
    """The longest queue time of any call is not part of the infer time."""

    def slow(calls: Sequence[InferCall]) -> list[ModelOutput]:
        return [ModelOutput(infer(FakeEngine(model), call).outputs, {"queue": 0.25}) for call in calls]

    timings = pipeline.run(parse_request("text-classification", {"inputs": "a"}), slow).timings_s
    assert timings["queue"] == 0.25
    assert timings["infer"] == 0.75


def test_a_bad_input_fails_alone_or_fails_all(pipeline: Pipeline, model: Model) -> None:
    """`run_valid_inputs` answers the valid inputs and names the bad ones. `run` refuses the whole request."""
    request = fill_mask("a <mask>", "no", "b <mask>")
    result, errors = pipeline.run_valid_inputs(request, infer_with(model))  # type: ignore[arg-type]  # a plain lambda
    assert len(result.values) == 2
    assert list(errors) == [1]
    with pytest.raises(Unprocessable, match=r"inputs\[1\]"):
        pipeline.run(request, infer_with(model))  # type: ignore[arg-type]  # a plain lambda


def test_the_model_is_not_called_without_a_valid_input(pipeline: Pipeline) -> None:
    """Without a valid input the model is not called."""

    def never(calls: Sequence[InferCall]) -> list[ModelOutput]:
        raise AssertionError(f"got {len(calls)} calls, expected none")

    result, errors = pipeline.run_valid_inputs(fill_mask("no"), never)
    assert result.values == ()
    assert list(errors) == [0]


def test_errors_of_infer_pass_through(pipeline: Pipeline) -> None:
    """An error of the replica reaches the caller unchanged."""

    def full(calls: Sequence[InferCall]) -> list[ModelOutput]:
        raise Overloaded("got 9 tokens", retry_after_s=float(len(calls)))

    with pytest.raises(Overloaded):
        pipeline.run(parse_request("text-classification", {"inputs": "a"}), full)


def test_unknown_models_are_named(pipeline: Pipeline, model: Model) -> None:
    """A model that is not in the catalog is a 404."""
    with pytest.raises(NotFound, match="no model 'nope'"):
        pipeline.run(parse_request("fill-mask", {"inputs": "<mask>", "model": "nope"}), infer_with(model))  # type: ignore[arg-type]  # a plain lambda


def test_a_tokenizer_of_another_vocabulary_is_refused(model: Model, tokenizer: Tokenizer) -> None:
    """A tokenizer with more ids than its model has embeddings is refused at the start."""
    small = model.model_copy(update={"vocab_size": 10})
    with pytest.raises(ValueError, match="tiny: got a tokenizer of"):
        Pipeline(Catalog(default_model="tiny", models={"tiny": small}), {"tiny": tokenizer})
