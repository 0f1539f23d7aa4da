"""Prepacked linear layers answer as plain ones do."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from serve.layers.linear import (
    Activate,
    Prepacked,
    activated,
    added,
    can_prepack,
    linear_of,
    padded_tokens,
    prepacked_of,
    with_padding_rows,
)

CPU = torch.device("cpu")
ROUNDING = {torch.bfloat16: 2**-7, torch.float32: 1e-5}  # relative error of two roundings, or of float32 sums
DTYPES = pytest.mark.parametrize("dtype", ROUNDING)
TANH_GELU = partial(F.gelu, approximate="tanh")


@pytest.fixture(autouse=True)
def _taken(request: pytest.FixtureRequest) -> None:
    """Skip dtypes that oneDNN does not support on this CPU."""
    asked = getattr(request.node, "callspec", None)
    dtype = asked.params.get("states_in", asked.params.get("dtype")) if asked else torch.bfloat16
    if not can_prepack(CPU, dtype):
        pytest.skip(f"oneDNN takes no {dtype} on this CPU")


def drawn(n_in: int, n_out: int, seed: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a weight and a bias."""
    generator = torch.Generator().manual_seed(seed)
    weight, bias = torch.randn(n_out, n_in, generator=generator), torch.randn(n_out, generator=generator)
    return (weight / n_in**0.5).to(dtype), bias.to(dtype)


def states_of(n_tokens: int, n_in: int, seed: int, dtype: torch.dtype) -> torch.Tensor:
    """Return states [n_tokens, n_in]."""
    return torch.randn(n_tokens, n_in, generator=torch.Generator().manual_seed(seed)).to(dtype)


@DTYPES
@settings(deadline=None, max_examples=25)
@given(st.integers(1, 40), st.sampled_from((8, 24, 64)), st.sampled_from((7, 32, 96)), st.integers(0, 99))
def test_a_prepacked_product_is_the_product(
    dtype: torch.dtype, n_tokens: int, n_in: int, n_out: int, seed: int
) -> None:
    """Any number of tokens, with or without bias, is within rounding of the float64 product."""
    weight, bias = drawn(n_in, n_out, seed, dtype)
    states, near = states_of(n_tokens, n_in, seed, dtype), ROUNDING[dtype]
    for own in (bias, None):
        exact = F.linear(states.double(), weight.double(), None if own is None else own.double())
        torch.testing.assert_close(Prepacked(weight, own)(states).double(), exact, rtol=near, atol=near)


@DTYPES
@pytest.mark.parametrize("activate", [F.gelu, F.relu, TANH_GELU])
def test_a_step_behind_a_product_is_that_step(activate: Activate, dtype: torch.dtype) -> None:
    """GELU, ReLU and an activation that cannot be fused are within rounding of the step in float64."""
    weight, bias = drawn(64, 96, 1, dtype)
    states, near = states_of(33, 64, 1, dtype), 2 * ROUNDING[dtype]
    exact = activate(F.linear(states.double(), weight.double(), bias.double()))
    for layer in (Prepacked(weight, bias), linear_of("layers.0.up", weight, bias)):
        torch.testing.assert_close(activated(layer, states, activate).double(), exact, rtol=near, atol=near)


@pytest.mark.parametrize(
    ("states_in", "dtype"),
    [(torch.bfloat16, torch.bfloat16), (torch.bfloat16, torch.float32), (torch.float32, torch.float32)],
)
def test_a_residual_is_added(states_in: torch.dtype, dtype: torch.dtype) -> None:
    """A residual of either dtype is added and not modified. A float32 residual gives a float32 sum."""
    weight, bias = drawn(64, 64, 2, states_in)
    states, before = states_of(33, 64, 2, states_in), states_of(33, 64, 3, dtype)
    near = ROUNDING[states_in]
    kept = before.clone()
    exact = kept.double() + F.linear(states.double(), weight.double(), bias.double())
    summed = added(Prepacked(weight, bias), states, before)
    assert summed.dtype == dtype
    assert torch.equal(before, kept)
    torch.testing.assert_close(summed.double(), exact, rtol=near, atol=near)


def test_only_a_backbones_layers_are_prepacked() -> None:
    """Heads stay plain Linears, because their weights are read elsewhere."""
    weight, bias = drawn(8, 8, 3, torch.bfloat16)
    assert isinstance(prepacked_of("layers.3.up", weight, bias), Prepacked)
    assert isinstance(prepacked_of("heads.topic.dense", weight, bias), nn.Linear)


def test_float16_and_cuda_are_not_prepacked() -> None:
    """Only float32 and bfloat16 on a CPU are stored in oneDNN's layout."""
    assert not can_prepack(CPU, torch.float16)
    assert not can_prepack(torch.device("cuda"), torch.bfloat16)


@given(st.integers(1, 5000))
def test_numbers_of_tokens_come_again(n_tokens: int) -> None:
    """Padding adds at most a sixteenth of the tokens.

    There are few padded lengths: sixteen between two powers of two.
    """
    whole = padded_tokens(n_tokens)
    assert n_tokens <= whole <= n_tokens + min(15, n_tokens / 16)
    assert padded_tokens(whole) == whole
    assert len({padded_tokens(n) for n in range(1, 513)}) <= 32 + 16 * 4


def test_padding_tokens_are_zeros_after_the_others() -> None:
    """The states are unchanged and the added rows are zeros. A common number of tokens is not padded."""
    states = torch.randn(67, 5)
    padded = with_padding_rows(states)
    assert padded.shape == (68, 5)
    assert torch.equal(padded[:67], states)
    assert not padded[67:].any()
    assert with_padding_rows(padded) is padded
