"""Describes this machine in one line that may be published: cores, processor, features, versions."""

from __future__ import annotations

import importlib.metadata
import os
import re
from pathlib import Path

FEATURES = ("amx_bf16", "avx512_bf16", "avx512_vnni", "avx2")
VERSIONS = ("torch", "transformers")


def describe_machine() -> str:
    """Return the description. It has no host name and no path."""
    text = _read("/proc/cpuinfo")
    name = re.search(r"model name\s*:\s*(.*)", text)
    flags = set(re.findall(r"\w+", (re.search(r"flags\s*:\s*(.*)", text) or [""])[0]))
    found = [feature for feature in FEATURES if feature in flags]
    versions = [f"{package} {importlib.metadata.version(package)}" for package in VERSIONS]
    processor = name[1].strip() if name else "unknown processor"
    return f"{n_cores()} cores, {processor}, {' '.join(found)}; {', '.join(versions)}"


def n_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def load_average() -> float:
    """Return the load average of the last minute. It shows how busy the machine was."""
    return os.getloadavg()[0]


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8") if Path(path).exists() else ""
