"""The kernel of products on a CPU: step(states * weight + bias) of each token, whatever stands beside it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from serve.bf16_kernels import is_for_this_machine
from serve.cpu_products import ADDED, GELU, PLAIN, KernelLinear, linear_for, product_kernel
from serve.dense import Activate, Prepacked, activated, added, can_prepack, compiles, linear_of, prepacked_of

CPU = torch.device("cpu")
ROUNDING = 2**-8  # of bfloat16, to the nearest
SUMS = 1e-5  # of float32
POISON, GUARD = 0xFF, 64  # bytes of 0xFF are NaN in bfloat16
INPUTS, OUTPUTS = st.sampled_from((16, 48, 64, 272, 1024)), st.sampled_from((32, 64, 96, 160))
TANH_GELU = partial(F.gelu, approximate="tanh")
STEPS: list[Activate] = [F.gelu, F.relu, TANH_GELU]

kernel_runs_here = pytest.mark.skipif(not is_for_this_machine(), reason="needs AVX512-BF16")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Draw numbers whose products over the last dimension are near 1."""
    numbers = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return (numbers / shape[-1] ** 0.25).bfloat16()


def linear(weight: Tensor, bias: Tensor | None = None) -> KernelLinear:
    """Return the kernel's Linear on this machine, which must have one."""
    found = product_kernel()
    assert found is not None
    return KernelLinear(found, weight, bias)


def assert_near(found: Tensor, exact: Tensor) -> None:
    """Each number is the exact one, rounded once."""
    torch.testing.assert_close(found.double(), exact, rtol=ROUNDING, atol=SUMS)


@kernel_runs_here
@settings(deadline=None, max_examples=60)
@given(st.integers(0, 60), INPUTS, OUTPUTS, st.integers(0, 99))
def test_a_product_is_the_product(n_tokens: int, n_in: int, n_out: int, seed: int) -> None:
    """Any number of tokens, none too, with bias or without, comes as the float64 product rounded once."""
    weight, bias, states = drawn(n_out, n_in, seed=seed), drawn(n_out), drawn(n_tokens, n_in, seed=seed + 1)
    for own in (bias, None):
        exact = F.linear(states.double(), weight.double(), None if own is None else own.double())
        assert_near(linear(weight, own)(states), exact)


@kernel_runs_here
def test_many_tokens_too() -> None:
    """More states than a core's cache holds, or than one thread is to have, meet the weights in several turns."""
    weight, states, before = drawn(32, 1024), drawn(2000, 1024, seed=1), torch.get_num_threads()
    found = linear(weight)(states)
    assert_near(found, F.linear(states.double(), weight.double()))
    torch.set_num_threads(4)
    try:
        assert torch.equal(linear(weight)(states), found)
    finally:
        torch.set_num_threads(before)


@kernel_runs_here
@pytest.mark.parametrize("activate", STEPS)
def test_a_step_behind_a_product_is_that_step(activate: Activate) -> None:
    """GELU, ReLU and one that the kernel does not have come within rounding of the step taken in float64."""
    weight, bias, states = drawn(96, 64), drawn(96), drawn(33, 64, seed=1)
    exact = activate(F.linear(states.double(), weight.double(), bias.double()))
    found = activated(linear(weight, bias), states, activate)
    torch.testing.assert_close(found.double(), exact, rtol=2 * ROUNDING, atol=2 * ROUNDING)


@kernel_runs_here
def test_gelu_of_any_size() -> None:
    """GELU is exact within rounding and a millionth from the far left to the far right, and stays finite."""
    sizes = torch.cat([torch.linspace(-12, 12, 4001), torch.tensor([-3e38, -1e30, -200.0, 0.0, 200.0, 1e30, 3e38])])
    states = torch.zeros(len(sizes), 16).bfloat16()
    states[:, 3] = sizes.bfloat16()
    weight = torch.zeros(32, 16).bfloat16()
    weight[5, 3] = 1
    found, exact = linear(weight).activated(states, F.gelu)[:, 5].double(), F.gelu(states[:, 3].double())
    torch.testing.assert_close(found, exact, rtol=ROUNDING, atol=1e-6)


@kernel_runs_here
def test_a_residual_is_added_and_stays() -> None:
    """A residual is added before the one rounding; one of float32 gives a float32 sum."""
    weight, bias, states, before = drawn(64, 48), drawn(64), drawn(33, 48, seed=1), drawn(33, 64, seed=2)
    exact, kept = before.double() + F.linear(states.double(), weight.double(), bias.double()), before.clone()
    assert_near(added(linear(weight, bias), states, before), exact)
    assert torch.equal(before, kept)
    wide = added(linear(weight, bias), states, before.float())
    assert wide.dtype == torch.float32
    torch.testing.assert_close(wide.double(), exact, rtol=2 * ROUNDING, atol=2 * ROUNDING)


@kernel_runs_here
@settings(deadline=None, max_examples=40)
@given(st.integers(1, 70), INPUTS, OUTPUTS, st.integers(1, 4))
def test_a_token_has_the_same_bits_in_any_company(n_tokens: int, n_in: int, n_out: int, n_threads: int) -> None:
    """A token alone and among others, on one thread or several, gets one and the same numbers."""
    layer, states, before = linear(drawn(n_out, n_in)), drawn(n_tokens, n_in, seed=1), torch.get_num_threads()
    alone = torch.cat([layer.activated(state, F.gelu) for state in states.split(1)])
    torch.set_num_threads(n_threads)
    try:
        together = layer.activated(states, F.gelu)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(together, alone)


@kernel_runs_here
def test_lanes_multiply_side_by_side() -> None:
    """Calls of several threads at once give what each gives alone."""
    layer, asked = linear(drawn(96, 64)), [drawn(n, 64, seed=n) for n in range(1, 17)]
    alone = [layer(states) for states in asked]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(layer, asked))
    assert all(torch.equal(one, other) for one, other in zip(found, alone, strict=True))


@kernel_runs_here
@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), INPUTS, OUTPUTS, st.sampled_from((PLAIN, GELU, ADDED)))
def test_it_writes_its_product_alone(n_tokens: int, n_in: int, n_out: int, step: int) -> None:
    """Every number of the product is written, and none behind it."""
    multiply = product_kernel()
    assert multiply is not None
    states, bias, before = drawn(n_tokens, n_in), torch.zeros(n_out), drawn(n_tokens, n_out)
    weight = torch.zeros(n_out // 32, n_in // 2, 32, 2).bfloat16()
    out = torch.full((n_tokens * n_out * 2 + GUARD,), POISON, dtype=torch.uint8)
    multiply(
        states.data_ptr(), weight.data_ptr(), bias.data_ptr(), before.data_ptr(), out.data_ptr(), 0,
        n_tokens, n_out, n_in, step, 1,
    )  # fmt: skip
    found = out[:-GUARD].view(torch.bfloat16).view(n_tokens, n_out)
    assert torch.equal(found, before if step == ADDED else torch.zeros_like(found))
    assert (out[-GUARD:] == POISON).all()


@kernel_runs_here
@pytest.mark.parametrize("activate", [F.gelu, F.relu])
def test_a_token_that_is_not_numbers_stays_alone(activate: Activate) -> None:
    """NaN in a token comes out as NaN in that token, and in no other."""
    states = drawn(30, 64)
    states[14] = torch.nan
    found = linear(drawn(32, 64)).activated(states, activate)
    assert found[14].isnan().all()
    assert torch.cat([found[:14], found[15:]]).isfinite().all()


@kernel_runs_here
def test_states_of_any_strides_are_read() -> None:
    """A view that skips tokens gives what its copy gives; a weight that is a view too."""
    states, weight = drawn(50, 64)[::2], drawn(64, 32).T
    assert torch.equal(linear(weight)(states), linear(weight.contiguous())(states.contiguous()))


@kernel_runs_here
@pytest.mark.parametrize(
    "states",
    [
        torch.zeros(9, 64),
        torch.zeros(9, 48).bfloat16(),
        torch.zeros(9, 1, 64).bfloat16(),
        torch.zeros(9, 64, device="meta").bfloat16(),
    ],
)
def test_what_it_cannot_read_is_refused(states: Tensor) -> None:
    """Another dtype, width, shape or device is an error before memory is read."""
    with pytest.raises(ValueError, match=r"expected bfloat16 \[tokens, 64\] on cpu"):
        linear(drawn(32, 64))(states)


@kernel_runs_here
def test_a_residual_of_another_shape_is_refused() -> None:
    """A residual that is no product's size is an error before memory is read."""
    with pytest.raises(ValueError, match=r"expected bfloat16 \[9, 32\]"):
        linear(drawn(32, 64)).added(drawn(9, 64), drawn(8, 32))


@kernel_runs_here
def test_layers_that_fit_are_multiplied_by_the_kernel() -> None:
    """Layers of other sizes, and heads, whose weights others read, are made as without the kernel."""
    make = linear_for(CPU, torch.bfloat16)
    assert isinstance(make("layers.3.up", drawn(64, 48), None), KernelLinear)
    assert isinstance(make("layers.3.up", drawn(40, 48), None), Prepacked)
    assert isinstance(make("layers.3.up", drawn(64, 40), None), Prepacked)
    assert isinstance(make("heads.topic.dense", drawn(64, 48), None), nn.Linear)


def test_other_dtypes_and_devices_are_not_the_kernels() -> None:
    """float32 on a CPU lies in oneDNN's layout; float16, and what is on another device, stays plain."""
    assert linear_for(CPU, torch.float32) is (prepacked_of if can_prepack(CPU, torch.float32) else linear_of)
    assert linear_for(CPU, torch.float16) is linear_of
    assert linear_for(torch.device("cuda"), torch.bfloat16) is linear_of


@kernel_runs_here
def test_only_other_products_are_compiled_for_their_tokens() -> None:
    """A backbone of the kernel's Linears needs no usual number of tokens; one other Linear among them does."""
    own, other = linear(drawn(32, 32)), linear_of("layers.0.up", drawn(32, 32), None)
    assert not compiles(nn.ModuleList([own, nn.LayerNorm(32)]))
    assert compiles(nn.ModuleList([own, other]))


@kernel_runs_here
def test_a_kernel_that_cannot_be_made_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the compiler fails a replica's log says so, and oneDNN multiplies."""
    source = tmp_path / "broken.c"
    source.write_text("not C")
    assert product_kernel(source) is None
    line = json.loads(capsys.readouterr().out)
    assert (line["level"], line["event"]) == ("warning", "broken-in-torch")
