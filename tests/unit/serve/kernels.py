"""Our kernels for bfloat16 as tests have them: each source in each variant that this processor runs."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from serve.bf16_kernels import VARIANTS, Variant, load_kernel

each_variant = pytest.mark.parametrize(
    "variant", [variant for variant in VARIANTS if variant.runs_here()], ids=lambda variant: variant.name
)


def library_of(source: Path, variant: Variant) -> ctypes.CDLL:
    """Return the compiled source, which must compile."""
    library = load_kernel(source, variant)
    assert library is not None
    return library
