"""The index of a checkpoint in two shards."""

from __future__ import annotations

import json
from pathlib import Path

from serve.checkpoints.read import INDEX


def write_index(folder: Path, a: str, b: str) -> None:
    """Write an index that says: tensor `a` is in the file `a`, tensor `b` in the file `b`."""
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": {"a": a, "b": b}}))
