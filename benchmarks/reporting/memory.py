"""The most memory that a process has held. Must not know what it did."""

from __future__ import annotations

from pathlib import Path

KIB_A_MIB = 1024


def peak_mib(pid: int | None = None) -> float:
    """Return the most resident memory of a process since its program began, in MiB; of this one by default.

    By Linux's `VmHWM` (proc(5)): `ru_maxrss` would count what the process held that started it.
    """
    lines = Path(f"/proc/{pid or 'self'}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / KIB_A_MIB
