"""The preflight speaks on any Python and names every fault at once."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from local import preflight


def test_it_passes_here() -> None:
    """A machine that runs these tests lacks nothing, and the answer is one line."""
    done = subprocess.run(
        [sys.executable, "-m", "local.preflight"], cwd=preflight.ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "preflight: ok\n")


def test_an_old_python_can_read_it() -> None:
    """It parses as Python 3.7 and imports the standard library alone, so that an old Python gets a sentence."""
    tree = ast.parse(Path(preflight.__file__).read_text(encoding="utf-8"), feature_version=(3, 7))
    imported = {node.names[0].name for node in ast.walk(tree) if isinstance(node, ast.Import)}
    assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (preflight.python_fault((3, 10)), "Python 3.10 found, 3.11 to 3.13 needed (make PYTHON=python3.12 ...)"),
        (preflight.python_fault((3, 14)), "Python 3.14 found, 3.11 to 3.13 needed (make PYTHON=python3.12 ...)"),
        (preflight.make_fault(""), "make is not on PATH"),
        (
            preflight.machine_fault("Windows", "amd64"),
            "Windows on amd64 found, Linux or macOS on x86-64 or arm64 needed",
        ),
        (preflight.disk_fault(7.9, 8.0), "7.9 GB of disk free, 8 GB needed"),
        (preflight.memory_fault(4.0), "4.0 GB of memory found, 6 GB needed"),
    ],
)
def test_each_lack_is_said_as_found_and_needed(fault: str, said: str) -> None:
    """A reader learns what is there and what it takes, without opening a manual."""
    assert fault == said


def test_what_suffices_is_not_a_fault() -> None:
    """At each bound itself nothing is said."""
    assert not preflight.python_fault((3, 11))
    assert not preflight.python_fault((3, 13))
    assert not preflight.disk_fault(8.0, 8.0)
    assert not preflight.memory_fault(6.0)
    assert not preflight.machine_fault("Darwin", "arm64")


def test_memory_is_the_machines_or_its_groups() -> None:
    """A limit of the control group counts, and is never above the machine's memory."""
    assert 0 < preflight.memory_bytes() < 2**50
