"""Makes a catalog of two random checkpoints: a sequence classifier and a token classifier."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from glossa.commands.catalog.add import add
from glossa.commands.catalog.options import EntryOptions
from tests.unit.functions.tokenizers import tiny


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def catalog_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make random checkpoints with transformers, and add both to one catalog with `add`."""
    root = tmp_path_factory.mktemp("house")
    made = root / "tokenizer"
    made.mkdir()
    tiny.write_tokenizer(made)
    for name, kind, labels in [("moods", "sequence", ("sad", "glad", "mad")), ("people", "tokens", tiny.LABELS)]:
        folder = root / "models" / name
        shutil.copytree(made, folder)
        (folder / "sentencepiece.bpe.model").unlink()
        tiny.write_checkpoint(folder, kind, labels)
        add(root / "catalog.toml", str(folder), EntryOptions(name))
    return root / "catalog.toml"
