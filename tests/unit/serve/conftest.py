"""A catalog model with one head of each kind, for tests of the model side."""

from __future__ import annotations

import pytest
import torch

from shared.catalog import Model


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def model() -> Model:
    """Make a model with one head for each task. It takes 32 tokens a row and has 100 token ids."""
    heads = {
        "topic": {"task": "text-classification", "prefix": "classifier", "labels": ["a", "b", "c"], "default": True},
        "entities": {"task": "token-classification", "prefix": "heads.entities", "labels": ["O", "B-X"]},
        "mlm": {"task": "fill-mask", "prefix": "lm_head"},
        "qa": {"task": "question-answering", "prefix": "qa_outputs"},
        "choice": {"task": "multiple-choice", "prefix": "heads.choice"},
        "embed": {"task": "feature-extraction"},
    }
    return Model.model_validate({
        "name": "toy", "family": "xlm-roberta", "checkpoint": "nowhere", "weights_sha256": "0" * 64,
        "tokenizer_sha256": "0" * 64, "max_tokens": 32, "vocab_size": 100, "token_budget": 64, "heads": heads,
    })  # fmt: skip
