"""Runs a test in each variant of the bfloat16 kernels that this processor supports."""

from __future__ import annotations

import ctypes

import pytest

from serve.kernels.cpu.library import features_here, load_kernels
from serve.kernels.cpu.variants import VARIANTS, Variant


def runs_here(variant: Variant) -> bool:
    """Say whether this processor has the features that a variant needs."""
    return variant.features <= features_here()


each_variant = pytest.mark.parametrize(
    "variant", [variant for variant in VARIANTS if runs_here(variant)], ids=lambda variant: variant.name
)


def library_of(variant: Variant) -> ctypes.CDLL:
    """Return the compiled kernels. They must compile."""
    library = load_kernels(variant)
    assert library is not None
    return library
