"""The commands of docs/batch.md that need no client do on a running stack what the page says."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.stack.conftest import RunningStack
from tests.unit.docs.blocks import blocks_of

pytestmark = pytest.mark.stack
HERE = "tests/stack/test_docs.py"


def test_a_job_is_made_uploaded_and_read_with_curl(running: RunningStack, tmp_path: Path) -> None:
    """The block uploads by the signed form, waits for the end, and prints the row of each record."""
    (block,) = [block for block in blocks_of("docs/batch.md") if block.run_by == HERE]
    environment = os.environ | {"API": running.api.base_url.rstrip("/")}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"index"')]
    assert [row["id"] for row in rows] == ["a1"]
    assert {"label", "score"} <= set(rows[0]["result"][0])
