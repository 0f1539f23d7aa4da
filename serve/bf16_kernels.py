"""What our kernels for bfloat16 on CPUs need (AVX512-BF16), and how a replica comes to them.

Where one cannot be, torch does the same, more slowly. Must not know what a kernel does.
"""

from __future__ import annotations

import ctypes
import platform
from functools import cache
from pathlib import Path

import torch

from serve.compiler import load_compiled, this_machine
from shared.log import log_event

NATIVE = Path(__file__).parent / "native"
MACHINE = "x86_64"
FLAGS = (
    "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512bf16", "-mfma", "-mprefer-vector-width=512",
    "-ffp-contract=fast",
)  # fmt: skip
FEATURES = ("avx512_f", "avx512_bw", "avx512_vl", "avx512_dq", "avx512_bf16", "fma3")  # torch's names of FLAGS


def is_for_this_machine() -> bool:
    """Whether this processor can run the kernels and has no AMX, by which torch's products may be quicker (untried)."""
    has = torch.cpu.get_capabilities()
    return (
        platform.system() == "Linux"
        and this_machine() == MACHINE
        and all(has.get(feature) for feature in FEATURES)
        and not has.get("amx_bf16")
    )


@cache
def load_kernel(source: Path) -> ctypes.CDLL | None:
    """Compile a kernel for this process, under a second; None where the machine cannot run it or a compiler fails.

    The log says which and why where the compiler fails: `attention-in-torch` of attention.c.
    """
    if not is_for_this_machine():
        return None
    event = f"{source.stem}-in-torch"
    try:
        library = load_compiled(source, MACHINE, FLAGS)
    except (RuntimeError, OSError) as failure:
        log_event(event, level="warning", reason=str(failure))
        return None
    if library is None:
        log_event(event, level="warning", reason="no C compiler, expected ziglang (pip install) or cc")
    return library
