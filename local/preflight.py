"""Prints in one line what this machine lacks for `make run` and `make test`, before anything is installed.

It uses the standard library alone and runs on any Python 3, so that an old one prints a sentence and not a syntax
error. Must not know the other files of this folder.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import socket
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ((3, 11), (3, 13))
MACHINES = {"x86_64", "amd64", "aarch64", "arm64"}
DISK_GB = 8.0
DISK_BUILT_GB = 1.0  # when the environments have been made
MEMORY_GB = 6.0
GB = 1e9


def missing() -> list[str]:
    """Return what is missing, each as what was found and what is needed; empty when nothing is."""
    needed_gb = DISK_BUILT_GB if (ROOT / ".venv" / ".done").exists() else DISK_GB
    found = [
        python_problem(sys.version_info[:2]),
        _venv_problem(),
        make_problem(os.environ.get("PATH", "")),
        machine_problem(platform.system(), platform.machine().lower()),
        disk_problem(shutil.disk_usage(ROOT).free / GB, needed_gb),
        memory_problem(memory_bytes() / GB),
        _port_problem(),
    ]
    return [problem for problem in found if problem]


def python_problem(version: tuple[int, int]) -> str:
    """Return what is wrong with this version of Python, or an empty text."""
    if PYTHONS[0] <= version <= PYTHONS[1]:
        return ""
    return "Python {}.{} found, 3.11 to 3.13 needed (make PYTHON=python3.12 ...)".format(*version)


def _venv_problem() -> str:
    ready = all(importlib.util.find_spec(name) is not None for name in ("venv", "ensurepip"))
    return "" if ready else "this Python has no venv module (on Debian and Ubuntu: apt install python3-venv)"


def make_problem(path: str) -> str:
    """Return that make is missing from a search path, or an empty text."""
    return "" if shutil.which("make", path=path) else "make is not on PATH"


def machine_problem(system: str, machine: str) -> str:
    """Return what is wrong with this kind of machine, or an empty text."""
    if machine in MACHINES and system in {"Linux", "Darwin"}:
        return ""
    return f"{system} on {machine} found, Linux or macOS on x86-64 or arm64 needed"


def disk_problem(free_gb: float, needed_gb: float) -> str:
    """Return that the disk is too full, or an empty text."""
    return "" if free_gb >= needed_gb else f"{free_gb:.1f} GB of disk free, {needed_gb:.0f} GB needed"


def memory_problem(total_gb: float) -> str:
    """Return that the memory is too small, or an empty text."""
    return "" if total_gb >= MEMORY_GB else f"{total_gb:.1f} GB of memory found, {MEMORY_GB:.0f} GB needed"


def memory_bytes() -> float:
    """Return the bytes of memory that this process may use: those of the machine or of its control group."""
    total = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            limit = Path("/sys/fs/cgroup", name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if limit.isdigit():
            total = min(total, float(limit))
    return total


def _port_problem() -> str:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind(("127.0.0.1", 0))
    except OSError as error:
        return f"no port can be opened on 127.0.0.1 ({error})"
    return ""


def main() -> int:
    """Print one line; return 0 when nothing is missing."""
    problems = missing()
    if problems:
        print("preflight: " + "; ".join(problems), file=sys.stderr)
        return 1
    print("preflight: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
