"""Reads the features of an arm64 processor from Linux.

The kernel tells every process in its auxiliary vector (`man getauxval`) which instructions it may use. The names are
those of /proc/cpuinfo. This module must not know which of them a kernel needs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

AT_HWCAP, AT_HWCAP2 = 16, 26  # from linux/auxvec.h
FEATURE_BITS: dict[int, dict[str, int]] = {
    AT_HWCAP: {"asimd": 1 << 1, "atomics": 1 << 8, "asimddp": 1 << 20},
    AT_HWCAP2: {"i8mm": 1 << 13, "bf16": 1 << 14},
}  # from arch/arm64/include/uapi/asm/hwcap.h of Linux


def arm_features(auxiliary: Callable[[int], int] | None = None) -> frozenset[str]:
    """Return the names of the features that the processor has, of those that we know.

    `auxiliary` returns an entry of the auxiliary vector; by default it is that of this process.
    """
    entry = auxiliary or _entry_of_this_process
    found = {kind: entry(kind) for kind in FEATURE_BITS}
    return frozenset(name for kind, bits in FEATURE_BITS.items() for name, bit in bits.items() if found[kind] & bit)


def _entry_of_this_process(kind: int) -> int:
    getauxval = ctypes.CDLL(None).getauxval
    getauxval.argtypes, getauxval.restype = [ctypes.c_ulong], ctypes.c_ulong
    return int(getauxval(kind))
