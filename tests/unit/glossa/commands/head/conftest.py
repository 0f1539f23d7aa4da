"""Makes a catalog of one tiny random model to train heads over, and files of labels."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.functions.tokenizers import tiny

Write = Callable[..., Path]


@pytest.fixture
def house(tmp_path: Path, catalog_path: Path) -> Path:
    """Return the path of a catalog of one's own, with the model `moods`."""
    shutil.copytree(catalog_path.parent / "models", tmp_path / "models")
    return shutil.copy(catalog_path, tmp_path / "catalog.toml")


@pytest.fixture
def write_rows(tmp_path: Path) -> Write:
    """Return a function that writes rows of JSON Lines to a file and returns its path."""

    def write(rows: list[dict[str, Any]], name: str = "rows.jsonl") -> Path:
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        return tmp_path / name

    return write


def texts(count: int) -> list[str]:
    """Return different texts of words of the test's tokenizer."""
    words = " ".join(tiny.SENTENCES).split()
    draw = random.Random(0)
    return [f"{number} {' '.join(draw.choices(words, k=4))}" for number in range(count)]
