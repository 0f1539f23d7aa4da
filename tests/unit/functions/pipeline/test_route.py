"""A request goes to a model and a head that can answer it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from functions.http.text_json import parse_request
from functions.messages import Route
from functions.pipeline.route import answers_unnamed, route, stand_in_for
from functions.tasks.registry import TASK_NAMES
from shared.catalog import Catalog, Model
from shared.errors import NotFound, Unprocessable
from tests.unit.functions.http.bodies import valid_body
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
    """The default model answers, or the first one that has the task. A named model uses its head for the task."""
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
    """The error of an unknown name lists the known names. A head of another task says its task."""
    with pytest.raises(error, match=message):
        route(text_request(task, model), CATALOG)


def test_a_stand_in_answers_with_the_same_head_where_the_caller_allows_it() -> None:
    """Without leave, without a stand-in and for vectors there is none."""
    large = MODEL.model_copy(update={"name": "large", "stand_in": "tiny"})
    catalog = Catalog.model_construct(default_model="large", models={"large": large, "tiny": MODEL})
    asked = replace(text_request("text-classification", "large"), fallback=True)
    assert stand_in_for(asked, catalog) == replace(asked, model="tiny:topic")
    assert stand_in_for(replace(asked, fallback=False), catalog) is None
    assert stand_in_for(replace(asked, model="tiny"), catalog) is None
    assert stand_in_for(replace(text_request("feature-extraction", "large"), fallback=True), catalog) is None


def test_a_head_for_reranking_comes_before_an_embedder() -> None:
    """An embedder reranks only where no model has a head that was trained for it, whatever the default model is."""
    able = {"task": "feature-extraction", "also": ["rerank"], "default": True}
    both = catalog_model(1000, name="both", heads={"embed": able, "ranker": MODEL.heads["relevance"]})
    alone = catalog_model(1000, name="alone", heads={"embed": able})
    catalog = Catalog(default_model="alone", models={"alone": alone, "both": both})
    assert route(text_request("rerank"), catalog) == Route("both", "ranker", "base")
    assert route(text_request("rerank", "alone"), catalog) == Route("alone", "embed", "base")
    assert route(text_request("rerank", "both:embed"), catalog) == Route("both", "embed", "base")
    assert answers_unnamed(catalog) == {
        "feature-extraction": ("alone", "embed"), "rerank": ("both", "ranker"),
        "text-classification": ("both", "ranker"),
    }  # fmt: skip
    only = Catalog(default_model="alone", models={"alone": alone})
    assert answers_unnamed(only)["rerank"] == ("alone", "embed")


def test_a_task_that_no_model_does_is_named() -> None:
    """A task that no model of the catalog can do is refused by name."""
    with pytest.raises(Unprocessable, match="no model does fill-mask") as refused:
        route(text_request("fill-mask"), Catalog(default_model="embedder", models={"embedder": EMBEDDER}))
    assert "glossa catalog add FOLDER" in str(refused.value.hint)


@pytest.mark.parametrize("task", TASK_NAMES)
def test_a_task_without_its_head_is_refused(task: str, model: Model) -> None:
    """The errors tell apart a model without the task, a head of another task, and an unknown head."""
    others = {name: head for name, head in model.heads.items() if task not in head.tasks}
    catalog = Catalog(default_model="tiny", models={"tiny": model.model_copy(update={"heads": others})})
    for name, error, message in [
        ("tiny", Unprocessable, f"model tiny has no head for {task}; its tasks"),
        (f"tiny:{next(iter(others))}", Unprocessable, f"not {task}; no head of the model does"),
        ("tiny:nope", NotFound, "has no head 'nope'"),
        ("none", NotFound, "no model 'none'"),
    ]:
        with pytest.raises(error, match=message) as refused:
            route(parse_request(task, valid_body(task) | {"model": name}), catalog)
        assert ("glossa " in str(refused.value.hint)) == (error is Unprocessable)  # what would add a head


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("zero-shot-classification", "head tiny:topic has labels .*, expected one that begins with entail"),
        ("rerank", "head tiny:topic has 5 labels, expected a head of one label to rank by"),
    ],
)
def test_a_head_must_suit_its_task(task: str, message: str, model: Model) -> None:
    """A head that the catalog gives to an unsuitable task is refused. The error names what the head lacks."""
    unsuitable = model.heads["topic"].model_copy(update={"also": (task,)})
    catalog = Catalog(default_model="tiny", models={"tiny": model.model_copy(update={"heads": {"topic": unsuitable}})})
    with pytest.raises(Unprocessable, match=message):
        route(parse_request(task, valid_body(task)), catalog)
