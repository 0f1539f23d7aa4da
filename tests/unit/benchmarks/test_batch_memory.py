"""The benchmark of a job's memory, run as `python -m benchmarks` runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks import ROOT
from glossa.commands.artifacts import write_artifacts
from shared.catalog import load_catalog

ENOUGH_S = 120.0


def test_its_standard_output_is_one_report(tmp_path: Path) -> None:
    """The log of the functions is not part of it."""
    write_artifacts(load_catalog(ROOT / "catalog.toml"), ROOT, tmp_path)
    words = [sys.executable, "-m", "benchmarks.batch_memory", "--quick", "--json", "--artifacts", str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=ENOUGH_S)
    report = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [row["system"] for row in report["rows"]] == ["before", "plan", "work", "plan"]


def test_memory_of_the_parent_process_does_not_count() -> None:
    """A program that a process with 300 MiB starts has its own peak."""
    held = bytearray(b"x") * (300 * 2**20)
    said = subprocess.run(
        [sys.executable, "-c", "from benchmarks.reporting.memory import peak_mib; print(peak_mib())"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=ENOUGH_S,
    )  # fmt: skip
    assert len(held) > 2**20 * float(said.stdout)
