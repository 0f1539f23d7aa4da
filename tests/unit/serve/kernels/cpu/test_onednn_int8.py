"""Linear layers by oneDNN's int8 product: what they compute, what they refuse, and independence of batch mates."""

from __future__ import annotations

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
from tests.large_tensors import large_tensors

CPU = torch.device("cpu")
ROUNDING = 2**-7  # relative: bfloat16 rounds the product, and the result of the step
GELU_ERROR = 4e-5
FLOATS = ("vectors", "logits", "log_sum_exp")

int8_runs_here = pytest.mark.skipif(bool(int8_lacks(CPU)), reason=f"products of bytes: {int8_lacks(CPU)}")


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    """Draw normally distributed numbers in bfloat16."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def to_int8(numbers: torch.Tensor) -> torch.Tensor:
    """Return rows of numbers after quantization, in float64, step by step."""
    values = numbers.float()
    largest = values.abs().amax(1, keepdim=True)
    scales = torch.where(largest > 0, largest / INT8_MAX, 1.0)
    return (values / scales).round().double() * scales.double()


def states_in_int8(states: torch.Tensor) -> torch.Tensor:
    """Do the same for states, where ties round up. Half of a row's largest number is such a tie, and common."""
    scales = states.float().abs().amax(1, keepdim=True) / INT8_MAX
    int8_values = (states.float() * (1 / scales) + (ZERO_POINT + 0.5)).floor() - ZERO_POINT
    return int8_values.double() * scales.double()


def numbers_of(outputs: Sequence[Mapping[str, torch.Tensor]]) -> torch.Tensor:
    """Return all numbers of the outputs in one tensor, without ids."""
    return torch.cat([output[name].flatten() for output in outputs for name in sorted(output) if name in FLOATS])


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Give torch two threads, like a replica with two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


sizes = given(st.integers(1, 70), st.sampled_from((5, 24, 64, 129)), st.sampled_from((7, 32, 96)), st.integers(0, 99))


@int8_runs_here
@settings(deadline=None, max_examples=40)
@sizes
def test_a_product_is_that_of_the_int8_values(n_tokens: int, n_in: int, n_out: int, seed: int) -> None:
    """With or without bias it is the product of rounded states and weights, within less than rounding changes."""
    weight, bias, states = normal(n_out, n_in), normal(n_out, seed=1), normal(n_tokens, n_in, seed=seed)
    exact = F.linear(states_in_int8(states), to_int8(weight))
    for own, expected in ((None, exact), (bias, exact + bias.double())):
        found = Int8Linear(weight, own)(states).double()
        assert float((found - expected).norm() / exact.norm()) < 2**-7


@int8_runs_here
@settings(deadline=None, max_examples=40)
@sizes
def test_a_token_has_the_same_bits_with_any_batch_mates(n_tokens: int, n_in: int, n_out: int, seed: int) -> None:
    """A token alone and with batch mates of any size gets the same product, because integer sums have no order."""
    layer = Int8Linear(normal(n_out, n_in), normal(n_out, seed=1))
    states = normal(n_tokens, n_in, seed=seed)
    together = layer(torch.cat([states, normal(3, n_in, seed=2) * 1e4]))[:n_tokens]
    assert torch.equal(together, torch.cat([layer(token[None]) for token in states]))


@int8_runs_here
@pytest.mark.parametrize("activate", [F.gelu, F.relu, torch.tanh])
def test_a_step_behind_a_product_is_that_step(activate: object) -> None:
    """GELU, which the kernel has, and other activations are within rounding of the step after the product."""
    layer, states = Int8Linear(normal(96, 64) * 0.2, normal(96, seed=1)), normal(33, 64, seed=2)
    after = activate(layer(states).double())
    torch.testing.assert_close(activated(layer, states, activate).double(), after, rtol=ROUNDING, atol=ROUNDING)


@int8_runs_here
def test_a_residual_is_added() -> None:
    """A residual with any strides is added to product and bias, in float32 for the LayerNorm that follows."""
    layer, states = Int8Linear(normal(96, 64), normal(96, seed=1)), normal(33, 64, seed=2)
    residual = normal(96, 33, seed=3).T
    exact = layer(states).double() + residual.double()
    found = added(layer, states, residual)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=ROUNDING, atol=2 * ROUNDING)


@int8_runs_here
def test_states_of_any_strides_are_read() -> None:
    """A view that skips columns gives what its copy gives."""
    layer, wide = Int8Linear(normal(32, 64), None), normal(9, 128, seed=1)
    assert torch.equal(layer(wide[:, ::2]), layer(wide[:, ::2].contiguous()))


@int8_runs_here
def test_the_kernels_gelu_is_gelu() -> None:
    """For all bfloat16 numbers from -40 to 40, the polynomial's error is below the documented one plus rounding."""
    numbers = torch.arange(0x10000, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    numbers = numbers[numbers.isfinite() & (numbers.abs() <= 40)].contiguous()[None]
    found, ones, zeros = numbers.clone(), torch.ones(1), torch.zeros(numbers.shape[1])
    load_kernel().finish_gelu(found.data_ptr(), ones.data_ptr(), zeros.data_ptr(), 1, numbers.shape[1])
    torch.testing.assert_close(found.double(), F.gelu(numbers.double()), rtol=2**-8, atol=GELU_ERROR)


@int8_runs_here
@given(st.lists(st.floats(-(2.0**126), 2.0**126, width=32), min_size=1, max_size=80))
@settings(deadline=None)
def test_int8_values_are_the_nearest(values: list[float]) -> None:
    """Each number is within half a step of its int8 value. Rows too small to be told from zeros are zeros."""
    states = torch.tensor([values]).bfloat16()
    int8_values, scales = torch.empty_like(states, dtype=torch.uint8), torch.empty(1)
    load_kernel().quantize(states.data_ptr(), int8_values.data_ptr(), scales.data_ptr(), 1, len(values))
    returned = (int8_values.double() - 128) * scales.double()
    largest = float(states.double().abs().max())
    assert bool(((returned - states.double()).abs() <= max(largest / INT8_MAX * 0.5001, 1e-30)).all())


@int8_runs_here
@pytest.mark.parametrize("broken", [float("inf"), float("-inf"), float("nan")])
def test_a_token_that_is_not_finite_is_not_hidden(broken: float) -> None:
    """Its product is not finite, so that its row is refused. Its batch mates keep their products."""
    layer, states = Int8Linear(normal(32, 64), normal(32, seed=1)), normal(3, 64, seed=2)
    sound = layer(states)
    states[1, 5] = broken
    found = layer(states)
    assert not bool(found[1].isfinite().any())
    assert torch.equal(found[[0, 2]], sound[[0, 2]])


@int8_runs_here
def test_a_weight_of_any_strides_is_packed() -> None:
    """A transposed weight gives what its copy gives."""
    states, weight = normal(9, 32, seed=1), normal(32, 64)
    assert torch.equal(Int8Linear(weight.T, None)(states), Int8Linear(weight.T.contiguous(), None)(states))


@int8_runs_here
@pytest.mark.parametrize("broken", [float("inf"), float("nan")])
def test_a_weight_that_is_not_finite_is_refused(broken: float) -> None:
    """Rounding it would give numbers without meaning."""
    weight = normal(32, 64)
    weight[3, 5] = broken
    with pytest.raises(CheckpointError, match=r"got a weight \(32, 64\) that is not finite"):
        Int8Linear(weight, None)


@int8_runs_here
@pytest.mark.parametrize("states", [torch.ones(3, 64), normal(3, 60), normal(2, 3, 64)])
def test_states_that_the_kernel_cannot_read_are_refused(states: torch.Tensor) -> None:
    """Another dtype, width or number of dimensions is an error before memory is read."""
    with pytest.raises(ValueError, match=r"got states .*, expected bfloat16 \[tokens, 64\]"):
        Int8Linear(normal(32, 64), None)(states)


@int8_runs_here
def test_a_residual_of_another_size_is_refused() -> None:
    """A residual of another size is an error before memory is read."""
    with pytest.raises(ValueError, match="got a residual"):
        Int8Linear(normal(32, 64), None).added(normal(3, 64), normal(2, 32))


@int8_runs_here
def test_no_full_copy_of_the_weight_is_kept() -> None:
    """After a product there is no floating-point tensor of the weight's size that was not there before."""
    others = large_tensors(1056 * 320 / 2)  # kept, so that no new tensor takes the place of one of them
    layer = Int8Linear(normal(1056, 320).float(), None)
    layer(normal(3, 320))
    known = set(map(id, others))
    assert [tensor.shape for tensor in large_tensors(1056 * 320 / 2) if id(tensor) not in known] == []


def test_float32_and_a_gpu_are_refused_by_name() -> None:
    """The errors give value and expectation."""
    with pytest.raises(CheckpointError, match=r"onednn-int8 got dtype torch.float32, expected torch.bfloat16"):
        check_runnable("onednn-int8", torch.float32, CPU)
    with pytest.raises(CheckpointError, match="onednn-int8 got device cuda, expected cpu"):
        check_runnable("onednn-int8", torch.bfloat16, torch.device("cuda"))


FITS: dict[str, Any] = {
    "hidden_size": 64,
    "num_attention_heads": 2,
    "intermediate_size": 128,
}  # sizes for our own product


@int8_runs_here
@pytest.mark.parametrize("sizes", [{}, FITS], ids=["by oneDNN", "by our own product where it runs"])
@pytest.mark.parametrize("kind", ["XLMRobertaModel", "XLMRobertaForTokenClassification", "XLMRobertaXLForMaskedLM"])
def test_a_whole_model_answers_nearly_as_in_bfloat16(
    kind: str, sizes: dict[str, Any], tmp_path: Path, two_threads: None
) -> None:
    """The error of int8 models is what 8 bits explain, but not zero. They run as many parallel passes."""
    folder = write(draw(kind, **sizes), tmp_path)
    models = (catalog_model(folder, dtype="bfloat16", quantization=stored) for stored in ("none", "onednn-int8"))
    engines = [load_engine(model, folder, device="cpu") for model in models]
    assert [engine.n_parallel for engine in engines] == [2, 2]
    rows = CASES[kind].rows(draw_ids((4, 9, 40, 2, 60, 12)))
    exact, found = (numbers_of(engine.forward(rows)) for engine in engines)
    assert 1e-4 < float((exact - found).norm() / exact.norm()) < 0.1


@int8_runs_here
@pytest.mark.parametrize("sizes", [{}, {"emb_dim": 64, "n_heads": 2}], ids=["by oneDNN", "by our own where it runs"])
@pytest.mark.parametrize("kind", judge_xlm.CASES)
def test_xlm_answers_nearly_as_in_float32(kind: str, sizes: dict[str, Any], tmp_path: Path) -> None:
    """The same holds for every head of XLM, with the activation that its checkpoint names."""
    reference = checkpoints_xlm.draw(kind, **sizes, **judge_xlm.settings_of(kind, judge_xlm.choices_for(kind)[0]))
    model = catalog_model(write(reference, tmp_path), dtype="bfloat16", quantization="onednn-int8")
    rows = judge_xlm.rows_for(kind, langs=False)
    answers = load_engine(model, tmp_path, device="cpu").forward(rows)
    assert judge_xlm.judge(reference, rows, answers, torch.bfloat16).distance < 0.1


def test_invalid_c_is_refused_with_the_compilers_message(tmp_path: Path) -> None:
    """A source that does not compile gives an error with its name and the compiler's reason."""
    source = tmp_path / "broken.c"
    source.write_text("int answer(void) { return nowhere; }\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"broken\.c could not be compiled:\n.*nowhere"):
        compile_library([source], tmp_path / "broken.so", this_machine())
