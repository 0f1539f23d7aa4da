"""Reads the peak memory of a process. Must not know what the process did."""

from __future__ import annotations

from pathlib import Path

KIB_A_MIB = 1024


def peak_mib(pid: int | None = None) -> float:
    """Return the peak of the resident memory of a process in MiB, since its program began. By default of this process.

    Reads Linux's `VmHWM` (proc(5)). `ru_maxrss` would also count the memory of the process that started it.
    """
    lines = Path(f"/proc/{pid or 'self'}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / KIB_A_MIB
