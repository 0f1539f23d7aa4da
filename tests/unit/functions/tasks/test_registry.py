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
    """Each input has one value, whatever numbers the engine returns."""
    engine = FakeEngine(model)
    result = run_request(
        model, tokenizer, valid_body(task), task, lambda calls: [infer(engine, call) for call in calls]
    )
    assert len(result.values) == 1


@pytest.mark.parametrize("task", TASK_NAMES)
def test_the_tiny_model_has_every_task(task: str) -> None:
    """The tiny model has a head for every task of the registry."""
    assert task in catalog_model(1000).tasks
