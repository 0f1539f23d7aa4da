"""A catalog model with one head of each kind, for tests of the model side."""

from __future__ import annotations

import pytest
import torch

from shared.catalog import Model
from tests.unit.serve.replicas import toy_model


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def model() -> Model:
    """Make a model with one head for each task. It takes 32 tokens a row and has 100 token ids."""
    return toy_model()
