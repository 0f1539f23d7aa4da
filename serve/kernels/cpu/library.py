"""Loads our CPU kernels for bfloat16, in the variant that fits the processor.

serve.kernels.cpu.variants lists them. Where none can run, bfloat16 runs in torch. This module must not know what a
kernel computes.
"""

from __future__ import annotations

import ctypes
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from serve.kernels.compiler import is_built, load_compiled, this_machine
from serve.kernels.cpu.arm_features import arm_features
from serve.kernels.cpu.variants import AMX, ARM, AVX2, AVX512, NEON, NEON_TILES, SOURCES, X86, Variant, all_flags
from serve.layers.linear import can_prepack
from shared.log import log_event

VECTOR_WIDTH = 16  # numbers in a vector register: widths that a kernel reads are multiples of it
EVENT = "kernels-unavailable"  # the log event when torch computes in place of the kernels


@dataclass(frozen=True, slots=True)
class KernelChoice:
    """What computes a model's layers: a variant of our kernels, or `none` where torch does.

    `prebuilt` says that the kernels were compiled ahead of time, as in the image, and not when the process started.
    """

    variant: str = "none"
    prebuilt: bool = False


def features_here() -> frozenset[str]:
    """Return the features of this processor, as `Variant.features` names them. None on machines without kernels."""
    if platform.system() != "Linux" or this_machine() not in {X86, ARM}:
        return frozenset()
    if this_machine() == ARM:
        return arm_features()
    return frozenset(name for name, has in torch.cpu.get_capabilities().items() if has is True)


def variant_of(features: frozenset[str], *, torch_has_bf16: bool) -> Variant | None:
    """Return the variant that is faster than torch on a processor with these features, or None.

    With AMX, oneDNN's products by tiles take the place of ours; the speed of the other kernels beside them was not
    measured. No speed was measured on arm64. `torch_has_bf16` says that oneDNN has bfloat16 products on this processor,
    which is also so with AVX512 alone.
    """
    if features >= NEON_TILES.features:
        return NEON_TILES
    if features >= NEON.features:
        return None if torch_has_bf16 else NEON
    if features >= AVX512.features:
        return AMX if features >= AMX.features else AVX512
    return AVX2 if features >= AVX2.features and not torch_has_bf16 else None


def variant_here() -> Variant | None:
    """Return the variant that is faster than torch on this machine, or None."""
    return variant_of(features_here(), torch_has_bf16=can_prepack(torch.device("cpu"), torch.bfloat16))


def kernels_here() -> ctypes.CDLL | None:
    """Return the compiled kernels in the variant that is faster than torch here, or None."""
    variant = variant_here()
    return None if variant is None else load_kernels(variant)


def product_kernels_here() -> ctypes.CDLL | None:
    """Return the compiled kernels if the linear layers of a model use their products here, or None."""
    variant = variant_here()
    return None if variant is None or not variant.multiplies else load_kernels(variant)


def choice_for(device: torch.device, dtype: torch.dtype) -> KernelChoice:
    """Return what computes layers of this dtype on this device, as metadata and the log show it."""
    variant = variant_here() if device.type == "cpu" and dtype == torch.bfloat16 else None
    if variant is None or load_kernels(variant) is None:
        return KernelChoice()
    return KernelChoice(variant.name, prebuilt=is_built(SOURCES, variant.machine, all_flags(variant)))


@cache
def load_kernels(variant: Variant, sources: tuple[Path, ...] = SOURCES) -> ctypes.CDLL | None:
    """Load the kernels of the image, or compile them for this process, which takes a second or two.

    Return None when there is no compiler or it fails; the log then says why.
    """
    try:
        library = load_compiled(sources, variant.machine, all_flags(variant))
    except (RuntimeError, OSError) as failure:
        log_event(EVENT, level="warning", reason=str(failure))
        return None
    if library is None:
        log_event(EVENT, level="warning", reason="no C compiler, expected ziglang (pip install) or cc")
    return library
