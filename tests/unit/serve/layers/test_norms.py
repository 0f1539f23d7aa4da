"""The LayerNorm kernel equals torch's LayerNorm in float64, rounded once, for each token alone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from serve.kernels.cpu.layer_norm import KernelNorm, norm_call, norm_for
from serve.kernels.cpu.library import Variant, variant_here
from serve.layers.norms import norm_of
from serve.models.post_norm import normed
from tests.unit.serve.kernels.cpu.each_variant import each_variant, library_of

CPU = torch.device("cpu")
ROUNDING = 2**-8  # relative rounding of bfloat16, to nearest
EPS = 1e-5


def norm(variant: Variant, width: int) -> tuple[KernelNorm, Tensor, Tensor]:
    """Return the LayerNorm of the kernel in a variant, with its weight and bias."""
    generator = torch.Generator().manual_seed(width)
    weight, bias = (torch.randn(width, generator=generator).bfloat16() for _ in range(2))
    return KernelNorm(norm_call(library_of(variant)), weight, bias, EPS), weight, bias


@each_variant
@settings(deadline=None, max_examples=40)
@given(st.integers(0, 40), st.sampled_from((16, 48, 64, 768)), st.integers(-9, 9), st.integers(0, 99))
def test_a_norm_is_torchs(variant: Variant, n_tokens: int, width: int, size: int, seed: int) -> None:
    """Sums of any size and mean give their LayerNorm in float64, rounded once."""
    own, weight, bias = norm(variant, width)
    generator = torch.Generator().manual_seed(seed)
    states = (torch.randn(n_tokens, width, generator=generator) + 0.5) * 2.0**size
    exact = F.layer_norm(states.double(), (width,), weight.double(), bias.double(), EPS)
    torch.testing.assert_close(own(states).double(), exact, rtol=ROUNDING, atol=2e-5)


@each_variant
def test_a_token_that_is_not_numbers_stays_alone(variant: Variant) -> None:
    """NaN in a token gives NaN in that token and in no other."""
    own, _, _ = norm(variant, 64)
    states = torch.randn(30, 64)
    states[14, 3] = torch.nan
    found = own(states)
    assert found[14].isnan().all()
    assert torch.cat([found[:14], found[15:]]).isfinite().all()


@each_variant
@pytest.mark.parametrize("states", [torch.zeros(9, 64).half(), torch.zeros(9, 48), torch.zeros(64)])
def test_what_it_cannot_read_is_refused(variant: Variant, states: Tensor) -> None:
    """Another dtype, width or shape is an error before memory is read."""
    with pytest.raises(ValueError, match=r"expected float32 or bfloat16 \[tokens, 64\] on cpu"):
        norm(variant, 64)[0](states)


def test_torchs_norm_of_wider_sums_rounds_once() -> None:
    """Float32 sums are normalized in float32 and rounded to the dtype of the norm; other sums are as in torch."""
    generator = torch.Generator().manual_seed(0)
    sums, weight, bias = (torch.randn(9, 24, generator=generator) * 3, torch.randn(24), torch.randn(24))
    norm = norm_of(weight.bfloat16(), bias.bfloat16(), EPS)
    exact = F.layer_norm(sums, (24,), norm.weight.float(), norm.bias.float(), EPS)
    assert torch.equal(normed(norm, sums), exact.bfloat16())
    assert torch.equal(normed(norm, sums.bfloat16()), norm(sums.bfloat16()))


def test_other_norms_are_torchs() -> None:
    """float32, other devices and widths that do not fit use torch."""
    weight, bias = torch.ones(24).bfloat16(), torch.zeros(24).bfloat16()
    assert norm_for(CPU, torch.float32) is norm_of
    assert norm_for(torch.device("cuda"), torch.bfloat16) is norm_of
    assert isinstance(norm_for(CPU, torch.bfloat16)(weight, bias, EPS), nn.LayerNorm)


@pytest.mark.skipif(variant_here() is None, reason="torch's own products are used on this processor")
def test_norms_that_fit_are_the_kernels() -> None:
    """In bfloat16, on a CPU that runs the kernels, layers use the LayerNorm of the kernel."""
    weight, bias = torch.ones(32).bfloat16(), torch.zeros(32).bfloat16()
    assert isinstance(norm_for(CPU, torch.bfloat16)(weight, bias, EPS), KernelNorm)
