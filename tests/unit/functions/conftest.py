"""Tokenizers for the tests: a tiny one that is made here, a large one with the rules of XLM-R, and the shipped one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from functions.tokenizers.load import load_tokenizer
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Model
from tests.data import XLMR_TOKENIZER
from tests.unit.functions.tokenizers import tiny

MINI = Path(__file__).parents[3] / "checkpoints" / "mini"


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with a tiny tokenizer in the layout of XLM-R."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny.write_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer(tiny_folder: Path) -> Tokenizer:
    """Load the tiny tokenizer."""
    return load_tokenizer(tiny_folder / "tokenizer.json")


@pytest.fixture(scope="session")
def model(tokenizer: Tokenizer) -> Model:
    """Make a catalog model with the tiny tokenizer's vocabulary. A window has 64 tokens."""
    return tiny.catalog_model(tokenizer.vocab_size)


@pytest.fixture(scope="session", params=["tiny", "xlmr", "mini"])
def pair(request: pytest.FixtureRequest, tiny_folder: Path) -> tuple[Tokenizer, Any]:
    """Load one folder twice: with our tokenizer, and with the reference tokenizer of transformers."""
    folder = {"tiny": tiny_folder, "xlmr": XLMR_TOKENIZER, "mini": MINI}[request.param]
    return load_tokenizer(folder / "tokenizer.json"), transformers.AutoTokenizer.from_pretrained(str(folder))
