"""The product kernel computes step(states * weight + bias) of each token, with any batch mates."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from serve.kernels.cpu.library import Variant, product_kernels_here
from serve.kernels.cpu.products import ADDED, GELU, PLAIN, KernelLinear, linear_for, product_of
from serve.layers.linear import (
    Activate,
    Prepacked,
    activated,
    added,
    can_prepack,
    compiles_per_length,
    linear_of,
    prepacked_of,
)
from tests.unit.serve.kernels.cpu.each_variant import each_variant, library_of

CPU = torch.device("cpu")
ROUNDING = 2**-8  # relative rounding of bfloat16, to nearest
SUMS = 1e-5  # relative error of float32 sums
POISON, GUARD = 0xFF, 64  # bytes of 0xFF are NaN in bfloat16
INPUTS, OUTPUTS = st.sampled_from((16, 48, 64, 272, 1024)), st.sampled_from((32, 64, 96, 160))
TANH_GELU = partial(F.gelu, approximate="tanh")
STEPS: list[Activate] = [F.gelu, F.relu, TANH_GELU]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Draw numbers whose products over the last dimension are near 1."""
    numbers = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return (numbers / shape[-1] ** 0.25).bfloat16()


def linear(variant: Variant, weight: Tensor, bias: Tensor | None = None) -> KernelLinear:
    """Return the linear layer of the kernel in a variant."""
    return KernelLinear(product_of(library_of(variant)), weight, bias)


def assert_near(found: Tensor, exact: Tensor) -> None:
    """Check that each number is the exact one, rounded once."""
    torch.testing.assert_close(found.double(), exact, rtol=ROUNDING, atol=SUMS)


@each_variant
@settings(deadline=None, max_examples=60)
@given(st.integers(0, 60), INPUTS, OUTPUTS, st.integers(0, 99))
def test_a_product_is_the_product(variant: Variant, n_tokens: int, n_in: int, n_out: int, seed: int) -> None:
    """Any number of tokens, also none, with or without bias, gives the float64 product rounded once."""
    weight, bias, states = drawn(n_out, n_in, seed=seed), drawn(n_out), drawn(n_tokens, n_in, seed=seed + 1)
    for own in (bias, None):
        exact = F.linear(states.double(), weight.double(), None if own is None else own.double())
        assert_near(linear(variant, weight, own)(states), exact)


@each_variant
def test_many_tokens_too(variant: Variant) -> None:
    """More states than the cache of a core holds, or than one thread should take, are multiplied in several parts."""
    weight, states, before = drawn(32, 1024), drawn(2003, 1024, seed=1), torch.get_num_threads()
    found = linear(variant, weight)(states)
    assert_near(found, F.linear(states.double(), weight.double()))
    try:
        for n_threads in (2, 3, 4):
            torch.set_num_threads(n_threads)
            assert torch.equal(linear(variant, weight)(states), found)
    finally:
        torch.set_num_threads(before)


@each_variant
@pytest.mark.parametrize("activate", STEPS)
def test_a_step_behind_a_product_is_that_step(variant: Variant, activate: Activate) -> None:
    """GELU, ReLU and an activation that the kernel does not have are within rounding of the step in float64."""
    weight, bias, states = drawn(96, 64), drawn(96), drawn(33, 64, seed=1)
    exact = activate(F.linear(states.double(), weight.double(), bias.double()))
    found = activated(linear(variant, weight, bias), states, activate)
    torch.testing.assert_close(found.double(), exact, rtol=2 * ROUNDING, atol=2 * ROUNDING)


@each_variant
def test_gelu_of_any_size(variant: Variant) -> None:
    """GELU is exact within rounding and 5e-7 for numbers of any size, and stays finite."""
    sizes = torch.cat([torch.linspace(-12, 12, 4001), torch.tensor([-3e38, -1e30, -200.0, 0.0, 200.0, 1e30, 3e38])])
    states = torch.zeros(len(sizes), 16).bfloat16()
    states[:, 3] = sizes.bfloat16()
    weight = torch.zeros(32, 16).bfloat16()
    weight[5, 3] = 1
    found, exact = linear(variant, weight).activated(states, F.gelu)[:, 5].double(), F.gelu(states[:, 3].double())
    torch.testing.assert_close(found, exact, rtol=ROUNDING, atol=5e-7)


@each_variant
def test_gelu_of_what_is_infinite_or_no_number(variant: Variant) -> None:
    """Infinity stays, minus infinity gives almost 0, and NaN stays NaN."""
    states = torch.zeros(3, 16).bfloat16()
    states[:, 3] = torch.tensor([torch.inf, -torch.inf, torch.nan])
    weight = torch.zeros(32, 16).bfloat16()
    weight[5, 3] = 1
    up, down, none = linear(variant, weight).activated(states, F.gelu)[:, 5].tolist()
    assert up == torch.inf
    assert abs(down) < 1e-6
    assert none != none  # noqa: PLR0124 - only NaN differs from itself


@each_variant
def test_a_residual_is_added_and_stays(variant: Variant) -> None:
    """The sum with a residual is float32, unrounded, for the LayerNorm that follows. The residual does not change."""
    weight, bias, states, before = drawn(64, 48), drawn(64), drawn(33, 48, seed=1), drawn(33, 64, seed=2)
    exact, kept = before.double() + F.linear(states.double(), weight.double(), bias.double()), before.clone()
    found = added(linear(variant, weight, bias), states, before)
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-5)
    assert torch.equal(before, kept)
    every_second = torch.stack([before, before], 1).flatten(0, 1)[::2]
    assert torch.equal(added(linear(variant, weight, bias), states, every_second), found)
    wide = added(linear(variant, weight, bias), states, before.float())
    assert wide.dtype == torch.float32
    torch.testing.assert_close(wide.double(), exact, rtol=2 * ROUNDING, atol=2 * ROUNDING)


@each_variant
@settings(deadline=None, max_examples=40)
@given(st.integers(1, 70), INPUTS, OUTPUTS, st.integers(1, 4))
def test_a_token_has_the_same_bits_with_any_batch_mates(
    variant: Variant, n_tokens: int, n_in: int, n_out: int, n_threads: int
) -> None:
    """A token alone and with batch mates, on one thread or several, gets the same numbers."""
    layer, states, before = linear(variant, drawn(n_out, n_in)), drawn(n_tokens, n_in, seed=1), torch.get_num_threads()
    alone = torch.cat([layer.activated(state, F.gelu) for state in states.split(1)])
    torch.set_num_threads(n_threads)
    try:
        together = layer.activated(states, F.gelu)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(together, alone)


@each_variant
def test_parallel_threads_multiply_alike(variant: Variant) -> None:
    """Calls on several threads at once give what each gives alone."""
    layer, asked = linear(variant, drawn(96, 64)), [drawn(n, 64, seed=n) for n in range(1, 17)]
    alone = [layer(states) for states in asked]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(layer, asked))
    assert all(torch.equal(one, other) for one, other in zip(found, alone, strict=True))


@each_variant
@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), INPUTS, OUTPUTS, st.sampled_from((PLAIN, GELU, ADDED)))
def test_it_writes_its_product_alone(variant: Variant, n_tokens: int, n_in: int, n_out: int, step: int) -> None:
    """Every number of the product is written, and nothing after it."""
    multiply = product_of(library_of(variant))
    states, bias, before = drawn(n_tokens, n_in), torch.zeros(n_out), drawn(n_tokens, n_out)
    weight = torch.zeros(n_out // 32, n_in // 2, 32, 2).bfloat16()
    dtype = torch.float32 if step == ADDED else torch.bfloat16
    out = torch.full((n_tokens * n_out * dtype.itemsize + GUARD,), POISON, dtype=torch.uint8)
    multiply(
        states.data_ptr(), weight.data_ptr(), bias.data_ptr(), before.data_ptr(), out.data_ptr(), 0,
        n_tokens, n_out, n_in, step, 1,
    )  # fmt: skip
    found = out[:-GUARD].view(dtype).view(n_tokens, n_out)
    assert torch.equal(found, before.float() if step == ADDED else torch.zeros_like(found))
    assert (out[-GUARD:] == POISON).all()


@each_variant
@pytest.mark.parametrize("activate", [F.gelu, F.relu])
def test_a_token_that_is_not_numbers_stays_alone(variant: Variant, activate: Activate) -> None:
    """NaN in a token gives NaN in that token and in no other."""
    states = drawn(30, 64)
    states[14] = torch.nan
    found = linear(variant, drawn(32, 64)).activated(states, activate)
    assert found[14].isnan().all()
    assert torch.cat([found[:14], found[15:]]).isfinite().all()


@each_variant
def test_states_of_any_strides_are_read(variant: Variant) -> None:
    """A view that skips tokens gives what its copy gives, and so does a weight that is a view."""
    states, weight = drawn(50, 64)[::2], drawn(64, 32).T
    assert torch.equal(linear(variant, weight)(states), linear(variant, weight.contiguous())(states.contiguous()))


@each_variant
@pytest.mark.parametrize(
    "states",
    [
        torch.zeros(9, 64),
        torch.zeros(9, 48).bfloat16(),
        torch.zeros(9, 1, 64).bfloat16(),
        torch.zeros(9, 64, device="meta").bfloat16(),
    ],
)
def test_what_it_cannot_read_is_refused(variant: Variant, states: Tensor) -> None:
    """Another dtype, width, shape or device is an error before memory is read."""
    with pytest.raises(ValueError, match=r"expected bfloat16 \[tokens, 64\] on cpu"):
        linear(variant, drawn(32, 64))(states)


@each_variant
def test_a_residual_of_another_shape_is_refused(variant: Variant) -> None:
    """A residual of another size than the product is an error before memory is read."""
    with pytest.raises(ValueError, match=r"expected bfloat16 \[9, 32\]"):
        linear(variant, drawn(32, 64)).added(drawn(9, 64), drawn(8, 32))


@each_variant
@pytest.mark.parametrize(
    ("weight", "bias", "said"),
    [
        (torch.zeros(32, 16), None, "got a weight torch.float32"),
        (torch.zeros(48, 16).bfloat16(), None, r"got a weight torch.bfloat16 \(48, 16\)"),
        (torch.zeros(32, 24).bfloat16(), None, r"got a weight torch.bfloat16 \(32, 24\)"),
        (torch.zeros(0, 16).bfloat16(), None, r"got a weight torch.bfloat16 \(0, 16\)"),
        (torch.zeros(32, 16, 1).bfloat16(), None, "got a weight"),
        (torch.zeros(32, 16).bfloat16(), torch.zeros(5), r"got a bias \(5,\), expected \[32\]"),
    ],
)
def test_weights_that_it_cannot_read_are_refused(
    variant: Variant, weight: Tensor, bias: Tensor | None, said: str
) -> None:
    """A weight of another dtype or size, or a bias of another size, is an error when the layer is made."""
    with pytest.raises(ValueError, match=said):
        linear(variant, weight, bias)


@each_variant
def test_a_linear_keeps_its_own_numbers(variant: Variant) -> None:
    """A bias or a weight that is a view, or is changed afterwards, does not change the layer."""
    weight, bias, states = drawn(32, 16), torch.arange(64.0)[::2], drawn(3, 16)
    layer = linear(variant, weight, bias)
    exact = F.linear(states.double(), weight.double(), bias.double())
    weight.zero_(), bias.zero_()
    assert_near(layer(states), exact)


@pytest.mark.skipif(product_kernels_here() is None, reason="torch's own products are used on this processor")
def test_layers_that_fit_are_multiplied_by_the_kernel() -> None:
    """Layers of other sizes, and heads, whose weights are read elsewhere, are made as without the kernel."""
    make, other = linear_for(CPU, torch.bfloat16), Prepacked if can_prepack(CPU, torch.bfloat16) else nn.Linear
    assert isinstance(make("layers.3.up", drawn(64, 48), None), KernelLinear)
    assert isinstance(make("layers.3.up", drawn(40, 48), None), other)
    assert isinstance(make("layers.3.up", drawn(64, 40), None), other)
    assert isinstance(make("heads.topic.dense", drawn(64, 48), None), nn.Linear)


def test_other_dtypes_and_devices_are_not_the_kernels() -> None:
    """float32 on a CPU is stored in oneDNN's layout. float16 and other devices use plain layers."""
    assert linear_for(CPU, torch.float32) is (prepacked_of if can_prepack(CPU, torch.float32) else linear_of)
    assert linear_for(CPU, torch.float16) is linear_of
    assert linear_for(torch.device("cuda"), torch.bfloat16) is linear_of


@each_variant
def test_only_other_products_are_compiled_for_their_tokens(variant: Variant) -> None:
    """Layers of the kernel need no common number of tokens. One other linear layer among them does."""
    own, other = linear(variant, drawn(32, 32)), linear_of("layers.0.up", drawn(32, 32), None)
    assert not compiles_per_length(nn.ModuleList([own, nn.LayerNorm(32)]))
    assert compiles_per_length(nn.ModuleList([own, other]))
