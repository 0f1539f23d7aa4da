"""The kernel of attention on a CPU: softmax(QK)V of each row, whatever stands beside it; torch where it cannot be."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from serve.attention import attend_products, attend_runs, attention_for
from serve.cpu_attention import WIDTH_STEP, KernelAttention, kernel_attention
from serve.pack import lay_out

CPU = torch.device("cpu")
KERNEL = kernel_attention(WIDTH_STEP)
ROUNDING = 2**-7  # of bfloat16: states come rounded, probabilities and contexts are rounded once each
WIDTHS = st.sampled_from((16, 32, 64, 80, 128))
LENGTHS = st.lists(st.integers(1, 70), min_size=1, max_size=6)

kernel_runs_here = pytest.mark.skipif(KERNEL is None, reason="needs AVX512-BF16 and a C compiler")


def states(lengths: Sequence[int], heads: int, width: int, seed: int = 0) -> Tensor:
    """Draw queries, keys and values [tokens, 3, heads, width]."""
    return torch.randn(sum(lengths), 3, heads, width, generator=torch.Generator().manual_seed(seed)).bfloat16()


def kernel() -> KernelAttention:
    """Return the kernel of this machine."""
    assert KERNEL is not None
    return KERNEL


@kernel_runs_here
@settings(deadline=None, max_examples=60)
@given(LENGTHS, st.integers(1, 3), WIDTHS, st.booleans(), st.integers(0, 99))
def test_contexts_are_those_of_float32(lengths: list[int], heads: int, width: int, causal: bool, seed: int) -> None:  # noqa: FBT001 - hypothesis passes it by place
    """Each row's contexts are softmax(QK)V in float32 within one rounding, both ways or only backwards."""
    qkv, spans = states(lengths, heads, width, seed), lay_out(lengths, CPU)
    found = kernel()(qkv, spans, width**-0.5, causal).float()
    torch.testing.assert_close(
        found, attend_runs(qkv.float(), spans, width**-0.5, causal), rtol=ROUNDING, atol=ROUNDING
    )


@kernel_runs_here
@pytest.mark.parametrize("length", [511, 512, 1030])
def test_long_rows_too(length: int) -> None:
    """Rows as long as a model reads, and longer, stay within one rounding."""
    qkv, spans = states([length], 2, 64), lay_out([length], CPU)
    found = kernel()(qkv, spans, 0.125, False).float()
    torch.testing.assert_close(found, attend_runs(qkv.float(), spans, 0.125, False), rtol=ROUNDING, atol=ROUNDING)


@kernel_runs_here
@settings(deadline=None, max_examples=40)
@given(LENGTHS, WIDTHS, st.booleans(), st.integers(1, 2))
def test_a_row_has_the_same_bits_in_any_company(lengths: list[int], width: int, causal: bool, n_threads: int) -> None:  # noqa: FBT001 - likewise
    """A row alone and among others, on one thread or two, gets one and the same contexts."""
    qkv, before = states(lengths, 2, width), torch.get_num_threads()
    torch.set_num_threads(n_threads)
    together = kernel()(qkv, lay_out(lengths, CPU), 0.2, causal)
    torch.set_num_threads(1)
    alone = [kernel()(row, lay_out([len(row)], CPU), 0.2, causal) for row in torch.split(qkv, lengths)]
    torch.set_num_threads(before)
    assert torch.equal(together, torch.cat(alone))


@kernel_runs_here
def test_a_row_that_is_not_numbers_stays_alone() -> None:
    """NaN in a row comes out as NaN in that row, and in no other."""
    lengths = [13, 20, 33]
    qkv = states(lengths, 2, 16)
    qkv[14] = torch.nan
    first, second, third = torch.split(kernel()(qkv, lay_out(lengths, CPU), 0.25, False), lengths)
    assert first.isfinite().all()
    assert second.isnan().all()
    assert third.isfinite().all()


@kernel_runs_here
@pytest.mark.parametrize("size", [0.0, 1e-3, 100.0, 1e4])
def test_scores_of_any_size(size: float) -> None:
    """Probabilities from equal to all on one key neither overflow nor vanish."""
    qkv, spans = states([40], 2, 16), lay_out([40], CPU)
    qkv[:, :2] *= size
    found = kernel()(qkv, spans, 0.25, False).float()
    torch.testing.assert_close(found, attend_runs(qkv.float(), spans, 0.25, False), rtol=ROUNDING, atol=ROUNDING)


@kernel_runs_here
def test_states_of_any_strides_are_read() -> None:
    """A view that skips tokens gives what its copy gives."""
    wide, spans = states([50], 2, 16)[::2], lay_out([25], CPU)
    assert torch.equal(kernel()(wide, spans, 0.25, False), kernel()(wide.contiguous(), spans, 0.25, False))


@kernel_runs_here
@pytest.mark.parametrize(
    "qkv", [torch.zeros(9, 3, 2, 16), torch.zeros(9, 3, 2, 8).bfloat16(), torch.zeros(8, 3, 2, 16).bfloat16()]
)
def test_what_it_cannot_read_is_refused(qkv: Tensor) -> None:
    """Another dtype, another width of heads and too few tokens are errors before memory is read."""
    with pytest.raises(ValueError, match="expected bfloat16 and heads of a multiple of 16"):
        kernel()(qkv, lay_out([9], CPU), 0.25, False)


def test_other_heads_attend_in_torch() -> None:
    """Heads of a width that the kernel does not have attend by torch's products."""
    assert kernel_attention(WIDTH_STEP + 4) is None
    assert attention_for(CPU, torch.bfloat16, WIDTH_STEP + 4) is attend_products


@kernel_runs_here
def test_a_kernel_that_cannot_be_made_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where the compiler fails a replica says so once and attends in torch."""
    source = tmp_path / "broken.c"
    source.write_text("not C")
    with caplog.at_level(logging.WARNING):
        assert kernel_attention(64, source) is None
        assert kernel_attention(64, source) is None
    assert [record.message.split(":")[0] for record in caplog.records] == ["attention runs in torch, slower"]
