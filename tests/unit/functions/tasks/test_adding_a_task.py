"""A new task is one file and one line in the registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from functions.http.text_json import parse_request
from functions.messages import TextInput, Window
from functions.pipeline.pipeline import Pipeline
from functions.tasks import registry
from functions.tasks.postprocessing.output_rows import Answer, AnswerContext, RowsPerWindow
from functions.tasks.task import Assembler, Task, TaskParameters
from functions.tokenizers.tokenizer import Tokenizer
from serve.engine.fake import WIDTH, FakeEngine
from serve.engine.run_call import infer
from shared.catalog import Catalog, Model
from shared.errors import NotFound, Unprocessable

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "adding-a-task.md").read_text(encoding="utf-8")


class Parameters(TaskParameters):
    """Parameters of the new task. `times` multiplies the width of the vector."""

    times: Annotated[int, Field(ge=1, le=9)] = 1


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, RowsPerWindow]:
    """Name the tensor that is read: `vectors` [windows, width]."""
    del parameters, target_ids
    return {"vectors": 1}


def value(
    context: AnswerContext[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> dict[str, object]:
    """Return the text, its number of windows, and the width of its vector."""
    width = len(answers[0]["vectors"][0])
    return {"text": item.text, "n_windows": len(windows), "width": width * context.parameters.times}


TOY = Task("vector-width", Parameters, dict[str, object], Assembler(outputs, value))


@pytest.fixture
def pipeline(model: Model, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """Make a pipeline with one more task, which the embedding head also does."""
    monkeypatch.setitem(registry.TASKS, TOY.name, TOY)  # type: ignore[arg-type]  # a read-only view of a dict
    embed = model.heads["embed"].model_copy(update={"also": (TOY.name,)})
    extended = model.model_copy(update={"heads": {**model.heads, "embed": embed}})
    return Pipeline(Catalog(default_model="tiny", models={"tiny": extended}), {"tiny": tokenizer})


def test_a_task_of_one_file_is_answered_once_it_is_registered(pipeline: Pipeline, model: Model) -> None:
    """Parsing, routing, tokenizing, packing and assembling need only the task's own file."""
    request = parse_request(TOY.name, {"inputs": ["a", "b " * 200], "parameters": {"times": 2}})
    engine = FakeEngine(model)
    result = pipeline.run(request, lambda calls: [infer(engine, call) for call in calls])
    first, second = result.values
    assert first == {"text": "a", "n_windows": 1, "width": 2 * WIDTH}
    assert isinstance(second, dict)
    assert second["n_windows"] > 1


def test_the_parameters_of_a_new_task_are_checked_like_all_others(pipeline: Pipeline) -> None:
    """A bad value is a 422 with the value and what was expected."""
    del pipeline
    with pytest.raises(Unprocessable, match=r"parameters\.times: got 10, expected"):
        parse_request(TOY.name, {"inputs": "a", "parameters": {"times": 10}})


def test_a_task_that_is_not_registered_is_unknown() -> None:
    """Without its line in the registry the task is unknown."""
    with pytest.raises(NotFound, match="no task 'vector-width'"):
        parse_request(TOY.name, {"inputs": "a"})


def test_the_page_shows_the_file_as_it_is() -> None:
    """The page on adding a task shows one whole task file."""
    path = "functions/tasks/sentence_similarity.py"
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    assert "\n".join([f"+++ {path}", *(f"+{line}" for line in lines)]) + "\n```" in PAGE


def test_the_page_shows_the_line_of_the_catalog() -> None:
    """The catalog has the line that the page adds to a head."""
    assert '+also = ["sentence-similarity", "rerank"]' in PAGE
    assert 'also = ["sentence-similarity", "rerank"]' in (ROOT / "catalog.toml").read_text(encoding="utf-8")
