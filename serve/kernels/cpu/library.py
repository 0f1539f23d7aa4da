"""Loads our CPU kernels for bfloat16, in the variant that fits the processor.

They compute sixteen numbers at a time (native/vector.h). One variant uses AVX512-BF16. The other uses AVX2, for
processors on which torch's bfloat16 product is eight times slower. Where neither can run, bfloat16 runs in torch.
This module must not know what a kernel computes.
"""

from __future__ import annotations

import ctypes
import platform
from functools import cache
from pathlib import Path

import torch

from serve.kernels.compiler import load_compiled, this_machine
from serve.kernels.cpu.variants import AVX2, AVX512, MACHINE, SOURCES, Variant, all_flags
from serve.layers.linear import can_prepack
from shared.log import log_event

VECTOR_WIDTH = 16  # numbers in a vector register: widths that a kernel reads are multiples of it
EVENT = "kernels-unavailable"  # the log event when torch computes in place of the kernels


def features_here() -> frozenset[str]:
    """Return the features of this processor in torch's names, or none on machines without kernels."""
    if platform.system() != "Linux" or this_machine() != MACHINE:
        return frozenset()
    return frozenset(name for name, has in torch.cpu.get_capabilities().items() if has is True)


def variant_of(features: frozenset[str], *, torch_has_bf16: bool) -> Variant | None:
    """Return the variant that is faster than torch on a processor with these features, or None.

    With AMX, torch's products may be faster (not measured). `torch_has_bf16` says that oneDNN has bfloat16 products on
    this processor, which is also so with AVX512 alone.
    """
    if features >= AVX512.features:
        return None if "amx_bf16" in features else AVX512
    return AVX2 if features >= AVX2.features and not torch_has_bf16 else None


def variant_here() -> Variant | None:
    """Return the variant that is faster than torch on this machine, or None."""
    return variant_of(features_here(), torch_has_bf16=can_prepack(torch.device("cpu"), torch.bfloat16))


def kernels_here() -> ctypes.CDLL | None:
    """Return the compiled kernels in the variant that is faster than torch here, or None."""
    variant = variant_here()
    return None if variant is None else load_kernels(variant)


@cache
def load_kernels(variant: Variant, sources: tuple[Path, ...] = SOURCES) -> ctypes.CDLL | None:
    """Load the kernels of the image, or compile them for this process, which takes a second or two.

    Return None when there is no compiler or it fails; the log then says why.
    """
    try:
        library = load_compiled(sources, MACHINE, all_flags(variant))
    except (RuntimeError, OSError) as failure:
        log_event(EVENT, level="warning", reason=str(failure))
        return None
    if library is None:
        log_event(EVENT, level="warning", reason="no C compiler, expected ziglang (pip install) or cc")
    return library
