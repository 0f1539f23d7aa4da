"""Says in one line what this machine lacks for `make run` and `make test`, before anything is installed.

Runs on any Python 3, so that an old one gets a sentence and not a syntax error; standard library alone.
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
DISK_BUILT_GB = 1.0  # once the environments stand
MEMORY_GB = 6.0
GB = 1e9


def lacks() -> list[str]:
    """Return what is missing, each as value and expectation; empty when nothing is."""
    found = [_python(), _venv(), _make(), _machine(), _disk(), _memory(), _port()]
    return [fault for fault in found if fault]


def _python() -> str:
    version = sys.version_info[:2]
    if PYTHONS[0] <= version <= PYTHONS[1]:
        return ""
    return "Python {}.{} found, 3.11 to 3.13 needed (make PYTHON=python3.12 ...)".format(*version)


def _venv() -> str:
    ready = all(importlib.util.find_spec(name) is not None for name in ("venv", "ensurepip"))
    return "" if ready else "this Python has no venv module (on Debian and Ubuntu: apt install python3-venv)"


def _make() -> str:
    return "" if shutil.which("make") else "make is not on PATH"


def _machine() -> str:
    machine = platform.machine().lower()
    if machine in MACHINES and platform.system() in {"Linux", "Darwin"}:
        return ""
    return f"{platform.system()} on {machine} found, Linux or macOS on x86-64 or arm64 needed"


def _disk() -> str:
    needed = DISK_BUILT_GB if (ROOT / ".venv" / ".done").exists() else DISK_GB
    free = shutil.disk_usage(ROOT).free / GB
    return "" if free >= needed else f"{free:.1f} GB of disk free, {needed:.0f} GB needed"


def _memory() -> str:
    total = memory_bytes() / GB
    return "" if total >= MEMORY_GB else f"{total:.1f} GB of memory found, {MEMORY_GB:.0f} GB needed"


def memory_bytes() -> float:
    """Return the bytes of memory this process may use: the machine's, or its control group's limit."""
    total = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            limit = Path("/sys/fs/cgroup", name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if limit.isdigit():
            total = min(total, float(limit))
    return total


def _port() -> str:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind(("127.0.0.1", 0))
    except OSError as error:
        return f"no port can be opened on 127.0.0.1 ({error})"
    return ""


def main() -> int:
    """Print one line; return 0 when nothing is missing."""
    missing = lacks()
    if missing:
        print("preflight: " + "; ".join(missing), file=sys.stderr)
        return 1
    print("preflight: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
