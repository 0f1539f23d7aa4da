"""A small checkpoint in one file, and one in two shards."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.checkpoints import draw, write
from tests.unit.serve.checkpoints.shards import write_index


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write one small checkpoint."""
    return write(draw("XLMRobertaForTokenClassification"), tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """Write two shards and their index."""
    save_file({"a": torch.ones(2)}, tmp_path / "model-00001-of-00002.safetensors")
    save_file({"b": torch.zeros(3, 4)}, tmp_path / "model-00002-of-00002.safetensors")
    write_index(tmp_path, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    return tmp_path
