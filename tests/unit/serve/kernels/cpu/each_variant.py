"""Our kernels for bfloat16 as tests have them: in each variant that this processor runs."""

from __future__ import annotations

import ctypes

import pytest

from serve.kernels.cpu.library import VARIANTS, Variant, load_kernels

each_variant = pytest.mark.parametrize(
    "variant", [variant for variant in VARIANTS if variant.runs_here()], ids=lambda variant: variant.name
)


def library_of(variant: Variant) -> ctypes.CDLL:
    """Return the compiled kernels, which must compile."""
    library = load_kernels(variant)
    assert library is not None
    return library
