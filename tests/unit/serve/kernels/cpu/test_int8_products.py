"""Linear layers in int8 by our own product: exactly what int8 values and scales give, for each token alone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from serve.checkpoints.read import CheckpointError
from serve.kernels.cpu.int8_products import Int8KernelLinear, fits, int8_linear, int8_product_of, int8_scratch_bytes
from serve.kernels.cpu.library import AVX2, AVX512, variant_here
from serve.kernels.cpu.onednn_int8 import INT8_MAX, ZERO_POINT, Int8Linear, int8_lacks, to_int8
from serve.kernels.cpu.products import ADDED, GELU, PLAIN, RELU
from serve.layers.linear import Activate, activated, added
from tests.large_tensors import large_tensors
from tests.unit.serve.kernels.cpu.each_variant import library_of, runs_here

CPU = torch.device("cpu")
ROUNDING = 2**-8  # relative rounding of bfloat16, to nearest
GUARD, POISON = 64, 0xA5

pytestmark = pytest.mark.skipif(not runs_here(AVX512), reason="needs AVX512-BF16 and VNNI")
sizes = given(st.integers(1, 70), st.sampled_from((32, 64, 352)), st.sampled_from((32, 96, 160)), st.integers(0, 99))


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Draw normally distributed numbers in bfloat16."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def linear(weight: Tensor, bias: Tensor | None = None) -> Int8KernelLinear:
    """Return the kernel's linear layer of a weight."""
    multiply = int8_product_of(library_of(AVX512))
    assert multiply is not None
    return Int8KernelLinear(multiply, weight, bias)


def product_of_int8(states: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the product of rounded states and weights in float64, step by step."""
    whole, scales = to_int8(weight)
    sizes = states.float().abs().amax(1, keepdim=True) / INT8_MAX
    unrounded = (
        states.double() * (1.0 / sizes).double() + ZERO_POINT
    )  # as the kernel does: multiplied by the inverse of the scale
    int8_values = unrounded.float().round().double() - ZERO_POINT
    counts = F.linear(int8_values, whole.double())
    return counts * (sizes * scales).double() + bias.double()


@settings(deadline=None, max_examples=60)
@sizes
def test_a_product_is_that_of_the_int8_values(n_tokens: int, n_in: int, n_out: int, seed: int) -> None:
    """Sums of integers are exact, so that only one rounding separates the result from the product of int8 values."""
    weight, bias, states = drawn(n_out, n_in), drawn(n_out, seed=1), drawn(n_tokens, n_in, seed=seed)
    exact = product_of_int8(states, weight, bias)
    torch.testing.assert_close(linear(weight, bias)(states).double(), exact, rtol=ROUNDING, atol=1e-4)
    torch.testing.assert_close(linear(weight)(states).double(), exact - bias.double(), rtol=ROUNDING, atol=1e-4)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 400), st.sampled_from((32, 96)), st.integers(1, 4))
def test_a_token_has_the_same_bits_with_any_batch_mates(n_tokens: int, n_out: int, n_threads: int) -> None:
    """A token alone and with batch mates of any size, on one thread or several, gets the same product."""
    layer, before = linear(drawn(n_out, 64), drawn(n_out, seed=1)), torch.get_num_threads()
    states = drawn(n_tokens, 64, seed=2)
    alone = torch.cat([layer(token) for token in states.split(1)])
    torch.set_num_threads(n_threads)
    try:
        together = layer(torch.cat([states, drawn(3, 64, seed=3) * 1e4]))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(together[:n_tokens], alone)


@pytest.mark.parametrize("activate", [F.gelu, F.relu, torch.tanh])
def test_a_step_behind_a_product_is_that_step(activate: Activate) -> None:
    """Steps in the kernel and other steps are within rounding of the step after the int8 product."""
    weight, bias, states = drawn(96, 64) * 0.2, drawn(96, seed=1), drawn(33, 64, seed=2)
    exact = activate(product_of_int8(states, weight, bias))
    found = activated(linear(weight, bias), states, activate)
    torch.testing.assert_close(found.double(), exact, rtol=2 * ROUNDING, atol=2 * ROUNDING)


def test_a_residual_is_added_unrounded() -> None:
    """A residual with any strides is added in float32 for the LayerNorm that follows."""
    weight, bias, states, residual = drawn(96, 64), drawn(96, seed=1), drawn(33, 64, seed=2), drawn(96, 33, seed=3).T
    found = added(linear(weight, bias), states, residual)
    assert found.dtype == torch.float32
    exact = product_of_int8(states, weight, bias) + residual.double()
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-4)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 40),
    st.sampled_from((32, 64)),
    st.sampled_from((32, 96)),
    st.sampled_from((PLAIN, GELU, RELU, ADDED)),
)
def test_it_writes_its_product_and_room_alone(n_tokens: int, n_in: int, n_out: int, step: int) -> None:
    """Every number of the product is written, and nothing after it or after the scratch memory."""
    layer, states, residual = linear(drawn(n_out, n_in) * 0), drawn(n_tokens, n_in), drawn(n_tokens, n_out)
    dtype = torch.float32 if step == ADDED else torch.bfloat16
    n_room, weight, bias, scales, offsets = int8_scratch_bytes(n_tokens, n_in), *layer.addresses
    out = torch.full((n_tokens * n_out * dtype.itemsize + GUARD,), POISON, dtype=torch.uint8)
    room = torch.full((n_room + GUARD,), POISON, dtype=torch.uint8)
    layer.multiply(
        states.data_ptr(), weight, scales, offsets, bias, residual.data_ptr(), out.data_ptr(), room.data_ptr(), 0,
        n_tokens, n_out, n_in, step, 1,
    )  # fmt: skip
    found = out[:-GUARD].view(dtype).view(n_tokens, n_out)
    assert torch.equal(found, residual.float() if step == ADDED else torch.zeros_like(found))
    assert (out[-GUARD:] == POISON).all()
    assert (room[-GUARD:] == POISON).all()


@pytest.mark.parametrize("activate", [torch.tanh, F.gelu, F.relu])
@pytest.mark.parametrize("broken", [float("inf"), float("-inf"), float("nan")])
def test_a_token_that_is_not_finite_is_not_hidden(broken: float, activate: Activate) -> None:
    """Its product is NaN after every step, so that its row is refused. Its batch mates keep their products."""
    layer, states = linear(drawn(32, 64), drawn(32, seed=1)), drawn(3, 64, seed=2)
    sound = layer.activated(states, activate)
    states[1, 5] = broken
    found = layer.activated(states, activate)
    assert found[1].isnan().all()
    assert torch.equal(found[[0, 2]], sound[[0, 2]])


@given(st.floats(-(2.0**100), 2.0**100, width=32))
@settings(deadline=None)
def test_tokens_of_any_size_are_quantized(largest: float) -> None:
    """A token with one number gives it back, times its weight. A number too small to be told from 0 gives 0."""
    states, weight = torch.zeros(1, 32).bfloat16(), torch.zeros(32, 32).bfloat16()
    states[0, 7], weight[3, 7] = largest, 1.0
    exact = float(states[0, 7])
    found = linear(weight)(states)[0]
    assert float(found[3]) == pytest.approx(exact if abs(exact) >= 1e-30 else 0.0, rel=ROUNDING, abs=1e-30)
    assert not torch.cat([found[:3], found[4:]]).any()


@pytest.mark.parametrize("states", [torch.ones(3, 64), drawn(3, 32), drawn(2, 3, 64), drawn(64)])
def test_states_that_the_kernel_cannot_read_are_refused(states: Tensor) -> None:
    """Another dtype, width or number of dimensions is an error before memory is read."""
    with pytest.raises(ValueError, match=r"got states .*, expected bfloat16 \[tokens, 64\]"):
        linear(drawn(32, 64))(states)


def test_a_residual_of_another_size_is_refused() -> None:
    """A residual of another size is an error before memory is read."""
    with pytest.raises(ValueError, match=r"expected bfloat16 \[3, 32\]"):
        linear(drawn(32, 64)).added(drawn(3, 64), drawn(2, 32))


def test_a_weight_that_is_not_finite_is_refused() -> None:
    """Rounding it would give numbers without meaning."""
    weight = drawn(32, 64)
    weight[3, 5] = torch.nan
    with pytest.raises(CheckpointError, match=r"got a weight \(32, 64\) that is not finite"):
        linear(weight)


def test_weights_of_any_strides_are_packed() -> None:
    """A transposed weight gives what its copy gives. States that skip columns give what their copy gives."""
    states, weight = drawn(9, 64, seed=1)[:, ::2], drawn(32, 64)
    assert torch.equal(linear(weight.T)(states), linear(weight.T.contiguous())(states.contiguous()))


def test_no_full_copy_of_the_weight_is_kept() -> None:
    """After a product there is no floating-point tensor of the weight's size that was not there before."""
    others = large_tensors(1056 * 320 / 2)  # kept, so that no new tensor takes the place of one of them
    layer = linear(drawn(1056, 320).float())
    layer(drawn(3, 320))
    known = set(map(id, others))
    assert [tensor.shape for tensor in large_tensors(1056 * 320 / 2) if id(tensor) not in known] == []


@pytest.mark.skipif(bool(int8_lacks(CPU)) or variant_here() is not AVX512, reason="another product is taken here")
@pytest.mark.parametrize(
    ("n_out", "n_in", "kind"), [(64, 96, Int8KernelLinear), (64, 48, Int8Linear), (40, 64, Int8Linear)]
)
def test_sizes_that_fit_are_the_kernels(n_out: int, n_in: int, kind: type[nn.Module]) -> None:
    """Multiples of 32 outputs and inputs use our product if this machine can run it. Others use oneDNN's."""
    layer = nn.Linear(n_in, n_out).bfloat16()
    assert fits(layer.weight) is (kind is Int8KernelLinear)
    assert isinstance(int8_linear(layer), kind)


@pytest.mark.skipif(not runs_here(AVX2), reason="needs AVX2")
def test_the_other_variant_has_no_int8_product() -> None:
    """With AVX2 alone there is no int8 product of our own."""
    assert int8_product_of(library_of(AVX2)) is None


@pytest.mark.parametrize(
    ("weight", "bias", "said"),
    [
        (drawn(32, 48), None, r"got a weight torch.bfloat16 \(32, 48\) .*\[multiple of 32, multiple of 32\]"),
        (drawn(48, 32), None, r"got a weight torch.bfloat16 \(48, 32\)"),
        (drawn(32, 32).half(), None, "got a weight torch.float16"),
        (drawn(32, 32), drawn(31), r"got a bias \(31,\), expected \[32\]"),
    ],
)
def test_weights_that_the_kernel_cannot_read_are_refused(weight: Tensor, bias: Tensor | None, said: str) -> None:
    """Sizes and dtypes that do not fit are an error before anything is packed."""
    with pytest.raises(ValueError, match=said):
        linear(weight, bias)
