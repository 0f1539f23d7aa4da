"""The processes below a process, and the memory that they use."""

from __future__ import annotations

from pathlib import Path

import psutil


def descendants(root: int) -> set[int]:
    """Return the pids of a process and of all processes below it."""
    try:
        return {root, *(child.pid for child in psutil.Process(root).children(recursive=True))}
    except psutil.NoSuchProcess:
        return {root}


def pss_bytes(pids: set[int]) -> int:
    """Return the memory that processes use together, with shared pages counted once (proportional set size)."""
    total = 0
    for pid in pids:
        try:
            total += psutil.Process(pid).memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it has ended
    return total


def running(pids: set[int]) -> set[int]:
    """Return those that run. A zombie has ended, even when nobody has collected it yet."""
    return {pid for pid in pids if _is_running(pid)}


def _is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def open_paths(pid: int) -> set[Path]:
    """Return the files that a process has open and the Unix sockets that it listens on or has bound, by their paths."""
    try:
        descriptors = [path.readlink() for path in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return set()  # it has ended
    sockets = {
        str(name).removeprefix("socket:[").rstrip("]") for name in descriptors if str(name).startswith("socket:")
    }
    lines = Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()[1:]
    bound = {line.split()[7] for line in lines if len(line.split()) > 7 and line.split()[6] in sockets}
    return {Path(str(path).removesuffix(" (deleted)")) for path in (*descriptors, *bound) if str(path).startswith("/")}
