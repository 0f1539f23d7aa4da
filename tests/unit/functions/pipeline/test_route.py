"""A request goes to a model that can answer it, in calls it can answer in time."""

from __future__ import annotations

import pytest

from functions.http.text_json import parse_request
from functions.messages import Route
from functions.pipeline.route import route
from functions.tasks.registry import TASK_NAMES
from shared.catalog import Catalog, Model
from shared.errors import NotFound, Unprocessable
from tests.unit.functions.http.bodies import good
from tests.unit.functions.pipeline.packing import MODEL, text_request
from tests.unit.functions.tokenizers.tiny import catalog_model

EMBEDDER = catalog_model(1000, name="embedder", size_class="large", heads={"vectors": {"task": "feature-extraction"}})
CATALOG = Catalog(default_model="embedder", models={"embedder": EMBEDDER, "tiny": MODEL})


@pytest.mark.parametrize(
    ("task", "model", "expected"),
    [
        ("feature-extraction", None, Route("embedder", "vectors", "large")),
        ("text-classification", None, Route("tiny", "topic", "base")),
        ("feature-extraction", "tiny", Route("tiny", "embed", "base")),
        ("token-classification", "tiny:entities", Route("tiny", "entities", "base")),
    ],
)
def test_a_request_finds_model_and_head(task: str, model: str | None, expected: Route) -> None:
    """Without a name the default model answers, or the first that can; with one, that model's head for the task."""
    assert route(text_request(task, model), CATALOG) == expected


@pytest.mark.parametrize(
    ("task", "model", "error", "message"),
    [
        ("fill-mask", "nope", NotFound, r"no model 'nope'; models: \['embedder', 'tiny'\]"),
        ("fill-mask", "tiny:nope", NotFound, "no head 'nope'; heads:"),
        ("fill-mask", "tiny:topic", Unprocessable, "does text-classification, not fill-mask"),
        ("fill-mask", "embedder", Unprocessable, "has no head for fill-mask"),
    ],
)
def test_what_cannot_be_chosen_is_named(task: str, model: str, error: type[Exception], message: str) -> None:
    """Unknown names list the known ones; a head that does something else says what."""
    with pytest.raises(error, match=message):
        route(text_request(task, model), CATALOG)


def test_a_task_that_no_model_does_is_named() -> None:
    """A catalog without a head for a task refuses the task, not the server."""
    with pytest.raises(Unprocessable, match="no model does fill-mask"):
        route(text_request("fill-mask"), Catalog(default_model="embedder", models={"embedder": EMBEDDER}))


@pytest.mark.parametrize("task", TASK_NAMES)
def test_a_task_without_its_head_is_refused(task: str, model: Model) -> None:
    """A model that cannot do a task, a head that does another, and a head nobody has are each named."""
    able = {name: head for name, head in model.heads.items() if task not in head.tasks}
    catalog = Catalog(default_model="tiny", models={"tiny": model.model_copy(update={"heads": able})})
    for name, error, message in [
        ("tiny", Unprocessable, f"model tiny has no head for {task}; its tasks"),
        (f"tiny:{next(iter(able))}", Unprocessable, f"not {task}; no head of the model does"),
        ("tiny:nope", NotFound, "has no head 'nope'"),
        ("none", NotFound, "no model 'none'"),
    ]:
        with pytest.raises(error, match=message):
            route(parse_request(task, good(task) | {"model": name}), catalog)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("zero-shot-classification", "head tiny:topic has labels .*, expected one that begins with entail"),
        ("rerank", "head tiny:topic has 5 labels, expected a head of one label to rank by"),
    ],
)
def test_a_head_must_suit_its_task(task: str, message: str, model: Model) -> None:
    """A head that the catalog lends to a task it cannot serve is refused by what it lacks."""
    lent = model.heads["topic"].model_copy(update={"also": (task,)})
    catalog = Catalog(default_model="tiny", models={"tiny": model.model_copy(update={"heads": {"topic": lent}})})
    with pytest.raises(Unprocessable, match=message):
        route(parse_request(task, good(task)), catalog)
