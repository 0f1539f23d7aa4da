"""The preflight runs on any Python and names all problems at once."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from local import preflight


def test_it_passes_here() -> None:
    """A machine that runs these tests lacks nothing, and the output is one line."""
    done = subprocess.run(
        [sys.executable, "-m", "local.preflight"], cwd=preflight.ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "preflight: ok\n")


def test_an_old_python_can_read_it() -> None:
    """It parses as Python 3.7 and imports the standard library alone, so that an old Python can print a sentence."""
    tree = ast.parse(Path(preflight.__file__).read_text(encoding="utf-8"), feature_version=(3, 7))
    imported = {node.names[0].name for node in ast.walk(tree) if isinstance(node, ast.Import)}
    assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (preflight.python_problem((3, 10)), "Python 3.10 found, 3.11 to 3.13 needed (make PYTHON=python3.12 ...)"),
        (preflight.python_problem((3, 14)), "Python 3.14 found, 3.11 to 3.13 needed (make PYTHON=python3.12 ...)"),
        (preflight.make_problem(""), "make is not on PATH"),
        (
            preflight.machine_problem("Windows", "amd64"),
            "Windows on amd64 found, Linux or macOS on x86-64 or arm64 needed",
        ),
        (preflight.disk_problem(7.9, 8.0), "7.9 GB of disk free, 8 GB needed"),
        (preflight.memory_problem(4.0), "4.0 GB of memory found, 6 GB needed"),
    ],
)
def test_each_problem_names_what_was_found_and_what_is_needed(problem: str, said: str) -> None:
    """A reader learns what the machine has and what it needs."""
    assert problem == said


def test_the_exact_minimum_is_enough() -> None:
    """At each limit itself no problem is named."""
    assert not preflight.python_problem((3, 11))
    assert not preflight.python_problem((3, 13))
    assert not preflight.disk_problem(8.0, 8.0)
    assert not preflight.memory_problem(6.0)
    assert not preflight.machine_problem("Darwin", "arm64")


def test_memory_is_the_machines_or_its_groups() -> None:
    """A limit of the control group counts, and the result is a plausible number of bytes."""
    assert 0 < preflight.memory_bytes() < 2**50
