"""Processes below a process, and what they hold; reads /proc."""

from __future__ import annotations

from pathlib import Path


def descendants(root: int) -> set[int]:
    """Return the pids of a process and of all processes below it."""
    parents = {pid: parent for pid in _pids() if (parent := _parent(pid)) is not None}
    family = {root}
    while grown := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= grown
    return family


def pss_bytes(pids: set[int]) -> int:
    """Return the memory processes hold together, shared pages counted once (proportional set size)."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        except OSError:
            continue  # it has ended
        total += next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))
    return total


def running(pids: set[int]) -> set[int]:
    """Return those that run; a zombie has ended, whoever has yet to collect it."""
    return {pid for pid in pids if _fields(pid)[:1] not in ([], ["Z"])}


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _parent(pid: int) -> int | None:
    fields = _fields(pid)
    return int(fields[1]) if fields else None


def _fields(pid: int) -> list[str]:
    """Return what /proc says of a process from its state on; nothing when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
