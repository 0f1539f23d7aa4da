"""The attention kernel computes softmax(QK)V of each row, with any batch mates.

Torch replaces it where it cannot run.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from serve.engine.attention_choice import attention_for
from serve.kernels.cpu.attention import ALIGN_BYTES, WIDTH_STEP, KernelAttention, attention_of, kernel_attention
from serve.kernels.cpu.library import Variant
from serve.layers.attention import attend_products, attend_sdpa
from serve.rows.pack import spans_of
from tests.unit.serve.kernels.cpu.each_variant import each_variant, library_of

CPU = torch.device("cpu")
ROUNDING = 2**-7  # of bfloat16: the input is rounded, and probabilities and contexts are rounded once each
WIDTHS = st.sampled_from((16, 32, 48, 64, 80, 96, 112, 128, 256))
LENGTHS = st.lists(st.integers(1, 70), min_size=1, max_size=6)
POISON, GUARD = 0xFF, 64  # bytes of 0xFF are NaN in float32 and bfloat16


def states(lengths: Sequence[int], heads: int, width: int, seed: int = 0) -> Tensor:
    """Draw queries, keys and values [tokens, 3, heads, width], so that contexts of long rows are near 1 too."""
    drawn = torch.randn(sum(lengths), 3, heads, width, generator=torch.Generator().manual_seed(seed))
    drawn[:, 2] *= torch.cat([torch.full((length, 1, 1), length**0.5) for length in lengths])
    return drawn.bfloat16()


def kernel(variant: Variant) -> KernelAttention:
    """Return the kernel in a variant."""
    return attention_of(library_of(variant))


def assert_exact(variant: Variant, qkv: Tensor, lengths: Sequence[int], scale: float, *, causal: bool) -> None:
    """Compare with float32: each context is within rounding of its values, and all together within half of it."""
    spans = spans_of(lengths, CPU)
    found, exact = kernel(variant)(qkv, spans, scale, causal).float(), attend_sdpa(qkv.float(), spans, scale, causal)
    assert float((found - exact).abs().max()) <= ROUNDING * float(qkv[:, 2].abs().max())
    assert float((found - exact).norm() / exact.norm()) < ROUNDING / 2


@each_variant
@settings(deadline=None, max_examples=80)
@given(LENGTHS, st.integers(1, 3), WIDTHS, st.booleans(), st.integers(0, 99))
def test_contexts_are_those_of_float32(
    variant: Variant,
    lengths: list[int],
    heads: int,
    width: int,
    causal: bool,  # noqa: FBT001 - hypothesis passes it by position
    seed: int,
) -> None:
    """The contexts of each row are softmax(QK)V in float32 within rounding, causal or not."""
    assert_exact(variant, states(lengths, heads, width, seed), lengths, width**-0.5, causal=causal)


@each_variant
@pytest.mark.parametrize("length", [511, 512, 1030])
@pytest.mark.parametrize("causal", [False, True])
def test_long_rows_too(variant: Variant, length: int, causal: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    """Rows as long as a model reads, and longer ones, stay within rounding."""
    assert_exact(variant, states([length], 2, 64), [length], 0.125, causal=causal)


@each_variant
def test_a_token_alone_is_its_value(variant: Variant) -> None:
    """The probability of a single key is 1, so that its value is returned bit for bit."""
    qkv = states([1] * 50, 2, 48) * 37
    assert torch.equal(kernel(variant)(qkv, spans_of([1] * 50, CPU), 3.0, False), qkv[:, 2].flatten(1))


@each_variant
@settings(deadline=None, max_examples=40)
@given(LENGTHS, WIDTHS, st.booleans(), st.integers(1, 4))
def test_a_row_has_the_same_bits_with_any_batch_mates(
    variant: Variant,
    lengths: list[int],
    width: int,
    causal: bool,  # noqa: FBT001 - the test framework passes it by name
    n_threads: int,
) -> None:
    """A row alone and with batch mates, on one thread or several, gets the same contexts."""
    qkv, before = states(lengths, 2, width), torch.get_num_threads()
    alone = [kernel(variant)(row, spans_of([len(row)], CPU), 0.2, causal) for row in torch.split(qkv, lengths)]
    torch.set_num_threads(n_threads)
    try:
        together = kernel(variant)(qkv, spans_of(lengths, CPU), 0.2, causal)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(together, torch.cat(alone))


@each_variant
def test_parallel_threads_attend_alike(variant: Variant) -> None:
    """Calls on several threads at once give what each gives alone."""
    lengths = [3, 17, 60]
    asked = [states(lengths, 4, 32, seed) for seed in range(16)]
    spans = spans_of(lengths, CPU)
    alone = [kernel(variant)(qkv, spans, 0.2, False) for qkv in asked]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda qkv: kernel(variant)(qkv, spans, 0.2, False), asked))
    assert all(torch.equal(one, other) for one, other in zip(found, alone, strict=True))


@each_variant
@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), WIDTHS, st.booleans())
def test_it_stays_in_its_memory(variant: Variant, lengths: list[int], width: int, causal: bool) -> None:  # noqa: FBT001 - the test framework passes it by name
    """Old content of the scratch memory does not reach the contexts. Nothing is written after scratch or contexts."""
    qkv, spans, heads = states(lengths, 2, width), spans_of(lengths, CPU), 2
    own = kernel(variant)
    n_bytes = own.scratch_of(max(lengths), width)
    scratch = torch.full((ALIGN_BYTES + n_bytes + GUARD,), POISON, dtype=torch.uint8)
    offset = -scratch.data_ptr() % ALIGN_BYTES
    contexts = torch.full((qkv.shape[0] * heads * width * 2 + GUARD,), POISON, dtype=torch.uint8)
    own.attend(
        qkv.data_ptr(), contexts.data_ptr(), spans.cumulative_lengths.data_ptr(), scratch.data_ptr() + offset, 0,
        len(lengths), heads, width, n_bytes, int(causal), 1, 0.2,
    )  # fmt: skip
    found = contexts[:-GUARD].view(torch.bfloat16).view(-1, heads * width)
    assert torch.equal(found, own(qkv, spans, 0.2, causal))
    assert (scratch[offset + n_bytes :] == POISON).all()
    assert (scratch[:offset] == POISON).all()
    assert (contexts[-GUARD:] == POISON).all()


@each_variant
def test_a_row_that_is_not_numbers_stays_alone(variant: Variant) -> None:
    """NaN in a row gives NaN in that row and in no other."""
    lengths = [13, 20, 33]
    qkv = states(lengths, 2, 16)
    qkv[14] = torch.nan
    first, second, third = torch.split(kernel(variant)(qkv, spans_of(lengths, CPU), 0.25, False), lengths)
    assert first.isfinite().all()
    assert second.isnan().all()
    assert third.isfinite().all()


@each_variant
@pytest.mark.parametrize("size", [0.0, 1e-3, 100.0, 1e4, 1e5, 1e8])
def test_scores_of_any_size(variant: Variant, size: float) -> None:
    """Probabilities from all equal to all on one key neither overflow nor vanish."""
    qkv = states([40], 2, 16)
    qkv[:, :2] *= size
    assert_exact(variant, qkv, [40], 0.25, causal=False)


@each_variant
def test_states_of_any_strides_are_read(variant: Variant) -> None:
    """A view that skips tokens gives what its copy gives."""
    wide, spans = states([50], 2, 16)[::2], spans_of([25], CPU)
    assert torch.equal(
        kernel(variant)(wide, spans, 0.25, False), kernel(variant)(wide.contiguous(), spans, 0.25, False)
    )


@each_variant
@pytest.mark.parametrize(
    "qkv",
    [
        torch.zeros(9, 3, 2, 16),
        torch.zeros(9, 3, 2, 8).bfloat16(),
        torch.zeros(8, 3, 2, 16).bfloat16(),
        torch.zeros(9, 2, 2, 16).bfloat16(),
        torch.zeros(9, 3, 2, 16, device="meta").bfloat16(),
    ],
)
def test_what_it_cannot_read_is_refused(variant: Variant, qkv: Tensor) -> None:
    """Another dtype, head width, number of tokens, shape or device is an error before memory is read."""
    with pytest.raises(ValueError, match=r"expected bfloat16 \[9, 3, heads, multiple of 16\] on cpu"):
        kernel(variant)(qkv, spans_of([9], CPU), 0.25, False)


def test_other_heads_attend_in_torch() -> None:
    """Heads of a width that the kernel does not support use torch's products."""
    assert kernel_attention(WIDTH_STEP + 4) is None
    assert attention_for(CPU, torch.bfloat16, WIDTH_STEP + 4) is attend_products
