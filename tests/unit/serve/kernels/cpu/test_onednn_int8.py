"""Linears in products of bytes: what they compute, what they refuse, and that no token feels its company."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.checkpoints.read import CheckpointError
from serve.engine.load_engine import load_engine
from serve.engine.quantize import check_runnable
from serve.kernels.compiler import compile_library, this_machine
from serve.kernels.cpu.onednn_int8 import INT8_MAX, ZERO_POINT, Int8Linear, int8_lacks, load_kernel
from serve.layers.linear import activated, added
from tests import checkpoints_xlm, judge_xlm
from tests.checkpoints import catalog_model, draw, draw_ids, write
from tests.judge import CASES

CPU = torch.device("cpu")
ROUNDING = 2**-7  # relative: bfloat16 rounds the product, and what is made of it
GELU_ERROR = 4e-5
FLOATS = ("vectors", "logits", "log_sum_exp")

bytes_run_here = pytest.mark.skipif(bool(int8_lacks(CPU)), reason=f"products of bytes: {int8_lacks(CPU)}")


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    """Draw normal numbers in bfloat16."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def to_int8(numbers: torch.Tensor) -> torch.Tensor:
    """Return rows of numbers as their nearest levels give them back, float64: the method spelled out."""
    values = numbers.float()
    largest = values.abs().amax(1, keepdim=True)
    scales = torch.where(largest > 0, largest / INT8_MAX, 1.0)
    return (values / scales).round().double() * scales.double()


def states_in_int8(states: torch.Tensor) -> torch.Tensor:
    """Likewise of states, where halves round up: half of a row's largest is such a tie, and common."""
    scales = states.float().abs().amax(1, keepdim=True) / INT8_MAX
    int8_values = (states.float() * (1 / scales) + (ZERO_POINT + 0.5)).floor() - ZERO_POINT
    return int8_values.double() * scales.double()


def numbers_of(outputs: Sequence[Mapping[str, torch.Tensor]]) -> torch.Tensor:
    """Return all numbers that outputs have at once, ids left out."""
    return torch.cat([output[name].flatten() for output in outputs for name in sorted(output) if name in FLOATS])


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Give torch two threads, as a replica of two cores has."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


sizes = given(st.integers(1, 70), st.sampled_from((5, 24, 64, 129)), st.sampled_from((7, 32, 96)), st.integers(0, 99))


@bytes_run_here
@settings(deadline=None, max_examples=40)
@sizes
def test_a_product_is_that_of_the_levels(n_tokens: int, n_in: int, n_out: int, seed: int) -> None:
    """With bias or without it is the product of rounded states and weights, nearer than states not rounded would be."""
    weight, bias, states = normal(n_out, n_in), normal(n_out, seed=1), normal(n_tokens, n_in, seed=seed)
    exact = F.linear(states_in_int8(states), to_int8(weight))
    for own, expected in ((None, exact), (bias, exact + bias.double())):
        found = Int8Linear(weight, own)(states).double()
        assert float((found - expected).norm() / exact.norm()) < 2**-7


@bytes_run_here
@settings(deadline=None, max_examples=40)
@sizes
def test_a_token_has_the_same_bits_in_any_company(n_tokens: int, n_in: int, n_out: int, seed: int) -> None:
    """Sums of integers have no order: a token alone and among others, loud ones too, gets one and the same product."""
    layer = Int8Linear(normal(n_out, n_in), normal(n_out, seed=1))
    states = normal(n_tokens, n_in, seed=seed)
    together = layer(torch.cat([states, normal(3, n_in, seed=2) * 1e4]))[:n_tokens]
    assert torch.equal(together, torch.cat([layer(token[None]) for token in states]))


@bytes_run_here
@pytest.mark.parametrize("activate", [F.gelu, F.relu, torch.tanh])
def test_a_step_behind_a_product_is_that_step(activate: object) -> None:
    """GELU, which the kernel has, and others, which it has not, come within rounding of the step taken after it."""
    layer, states = Int8Linear(normal(96, 64) * 0.2, normal(96, seed=1)), normal(33, 64, seed=2)
    after = activate(layer(states).double())
    torch.testing.assert_close(activated(layer, states, activate).double(), after, rtol=ROUNDING, atol=ROUNDING)


@bytes_run_here
def test_a_residual_is_added() -> None:
    """The residual comes on top of product and bias, whatever its strides, in float32 for the LayerNorm behind it."""
    layer, states = Int8Linear(normal(96, 64), normal(96, seed=1)), normal(33, 64, seed=2)
    residual = normal(96, 33, seed=3).T
    exact = layer(states).double() + residual.double()
    found = added(layer, states, residual)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=ROUNDING, atol=2 * ROUNDING)


@bytes_run_here
def test_states_of_any_strides_are_read() -> None:
    """A view that skips columns gives what its copy gives."""
    layer, wide = Int8Linear(normal(32, 64), None), normal(9, 128, seed=1)
    assert torch.equal(layer(wide[:, ::2]), layer(wide[:, ::2].contiguous()))


@bytes_run_here
def test_the_kernels_gelu_is_gelu() -> None:
    """Over all of bfloat16 from -40 to 40 the polynomial is off by less than it says, and by rounding."""
    numbers = torch.arange(0x10000, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    numbers = numbers[numbers.isfinite() & (numbers.abs() <= 40)].contiguous()[None]
    found, ones, zeros = numbers.clone(), torch.ones(1), torch.zeros(numbers.shape[1])
    load_kernel().finish_gelu(found.data_ptr(), ones.data_ptr(), zeros.data_ptr(), 1, numbers.shape[1])
    torch.testing.assert_close(found.double(), F.gelu(numbers.double()), rtol=2**-8, atol=GELU_ERROR)


@bytes_run_here
@given(st.lists(st.floats(-(2.0**126), 2.0**126, width=32), min_size=1, max_size=80))
@settings(deadline=None)
def test_levels_are_the_nearest(values: list[float]) -> None:
    """Each number is within half a level of what it is stored as; rows too small to tell from zeros are zeros."""
    states = torch.tensor([values]).bfloat16()
    int8_values, scales = torch.empty_like(states, dtype=torch.uint8), torch.empty(1)
    load_kernel().quantize(states.data_ptr(), int8_values.data_ptr(), scales.data_ptr(), 1, len(values))
    returned = (int8_values.double() - 128) * scales.double()
    largest = float(states.double().abs().max())
    assert bool(((returned - states.double()).abs() <= max(largest / INT8_MAX * 0.5001, 1e-30)).all())


@bytes_run_here
@pytest.mark.parametrize("broken", [float("inf"), float("-inf"), float("nan")])
def test_a_token_that_is_not_finite_is_not_hidden(broken: float) -> None:
    """Its product is not finite, so that its row is refused, and its neighbours keep theirs."""
    layer, states = Int8Linear(normal(32, 64), normal(32, seed=1)), normal(3, 64, seed=2)
    sound = layer(states)
    states[1, 5] = broken
    found = layer(states)
    assert not bool(found[1].isfinite().any())
    assert torch.equal(found[[0, 2]], sound[[0, 2]])


@bytes_run_here
def test_a_weight_of_any_strides_is_packed() -> None:
    """A transposed view gives what its copy gives."""
    states, weight = normal(9, 32, seed=1), normal(32, 64)
    assert torch.equal(Int8Linear(weight.T, None)(states), Int8Linear(weight.T.contiguous(), None)(states))


@bytes_run_here
@pytest.mark.parametrize("broken", [float("inf"), float("nan")])
def test_a_weight_that_is_not_finite_is_refused(broken: float) -> None:
    """It would else be rounded to numbers that mean nothing."""
    weight = normal(32, 64)
    weight[3, 5] = broken
    with pytest.raises(CheckpointError, match=r"got a weight \(32, 64\) that is not finite"):
        Int8Linear(weight, None)


@bytes_run_here
@pytest.mark.parametrize("states", [torch.ones(3, 64), normal(3, 60), normal(2, 3, 64)])
def test_states_that_the_kernel_cannot_read_are_refused(states: torch.Tensor) -> None:
    """Another dtype, width or number of dimensions is an error, not a reading of foreign memory."""
    with pytest.raises(ValueError, match=r"got states .*, expected bfloat16 \[tokens, 64\]"):
        Int8Linear(normal(32, 64), None)(states)


@bytes_run_here
def test_a_residual_of_another_size_is_refused() -> None:
    """Likewise."""
    with pytest.raises(ValueError, match="got a residual"):
        Int8Linear(normal(32, 64), None).added(normal(3, 64), normal(2, 32))


@bytes_run_here
def test_no_full_copy_of_the_weight_is_kept() -> None:
    """After a product no floating tensor of the weight's size is alive."""
    layer = Int8Linear(normal(1056, 320).float(), None)
    layer(normal(3, 320))
    gc.collect()
    alive = [o for o in gc.get_objects() if type(o) in {torch.Tensor, torch.nn.Parameter} and o.is_floating_point()]
    assert [tensor.shape for tensor in alive if tensor.numel() >= 1056 * 320 / 2] == []


def test_float32_and_a_gpu_are_refused_by_name() -> None:
    """Value, then expectation."""
    with pytest.raises(CheckpointError, match=r"onednn-int8 got dtype torch.float32, expected torch.bfloat16"):
        check_runnable("onednn-int8", torch.float32, CPU)
    with pytest.raises(CheckpointError, match="onednn-int8 got device cuda, expected cpu"):
        check_runnable("onednn-int8", torch.bfloat16, torch.device("cuda"))


FITS: dict[str, Any] = {"hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 128}  # our own product


@bytes_run_here
@pytest.mark.parametrize("sizes", [{}, FITS], ids=["by oneDNN", "by our own product where it runs"])
@pytest.mark.parametrize("kind", ["XLMRobertaModel", "XLMRobertaForTokenClassification", "XLMRobertaXLForMaskedLM"])
def test_a_whole_model_answers_nearly_as_in_bfloat16(
    kind: str, sizes: dict[str, Any], tmp_path: Path, two_threads: None
) -> None:
    """Models in 8 bits are off by what bytes explain, never by nothing, and answer in as many lanes."""
    folder = write(draw(kind, **sizes), tmp_path)
    models = (catalog_model(folder, dtype="bfloat16", quantization=stored) for stored in ("none", "onednn-int8"))
    engines = [load_engine(model, folder, device="cpu") for model in models]
    assert [engine.n_parallel for engine in engines] == [2, 2]
    rows = CASES[kind].rows(draw_ids((4, 9, 40, 2, 60, 12)))
    exact, found = (numbers_of(engine.forward(rows)) for engine in engines)
    assert 1e-4 < float((exact - found).norm() / exact.norm()) < 0.1


@bytes_run_here
@pytest.mark.parametrize("sizes", [{}, {"emb_dim": 64, "n_heads": 2}], ids=["by oneDNN", "by our own where it runs"])
@pytest.mark.parametrize("kind", judge_xlm.CASES)
def test_xlm_answers_nearly_as_in_float32(kind: str, sizes: dict[str, Any], tmp_path: Path) -> None:
    """Every head of XLM, with the activation its checkpoint names."""
    reference = checkpoints_xlm.draw(kind, **sizes, **judge_xlm.settings_of(kind, judge_xlm.choices_for(kind)[0]))
    model = catalog_model(write(reference, tmp_path), dtype="bfloat16", quantization="onednn-int8")
    rows = judge_xlm.rows_for(kind, langs=False)
    answers = load_engine(model, tmp_path, device="cpu").forward(rows)
    assert judge_xlm.judge(reference, rows, answers, torch.bfloat16).distance < 0.1


def test_c_that_is_none_is_refused_with_what_the_compiler_said(tmp_path: Path) -> None:
    """A source that does not compile names itself and the compiler's reason."""
    source = tmp_path / "broken.c"
    source.write_text("int answer(void) { return nowhere; }\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"broken\.c could not be compiled:\n.*nowhere"):
        compile_library([source], tmp_path / "broken.so", this_machine())
