"""Every task of the registry is answered."""

from __future__ import annotations

import pytest

from functions.tasks.registry import TASK_NAMES
from functions.tokenizers.tokenizer import Tokenizer
from serve.engine.fake import FakeEngine
from serve.engine.run_call import infer
from shared.catalog import Model
from tests.unit.functions.http.bodies import valid_body
from tests.unit.functions.task_requests import run_request
from tests.unit.functions.tokenizers.tiny import catalog_model


@pytest.mark.parametrize("task", TASK_NAMES)
def test_every_task_answers_through_an_engine(task: str, model: Model, tokenizer: Tokenizer) -> None:
    """One value per input, whatever the engine's numbers are."""
    engine = FakeEngine(model)
    result = run_request(model, tokenizer, valid_body(task), task, lambda made: [infer(engine, call) for call in made])
    assert len(result.values) == 1


@pytest.mark.parametrize("task", TASK_NAMES)
def test_the_catalogs_tasks_are_all_served(task: str) -> None:
    """A tiny model with a head for each task has one for each task of the catalog: none is forgotten."""
    assert task in catalog_model(1000).tasks
