"""The scores of the decoder kernel equal the product in float64 and torch's sums, for each state alone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from serve.kernels.cpu.decoder import KernelScores, decoder_for, fits, kernel_decoder, score_call
from serve.kernels.cpu.library import Variant, variant_here
from serve.kernels.cpu.products import PANEL
from serve.layers.heads import Decoder, decoder_of
from tests.unit.serve.kernels.cpu.each_variant import each_variant, library_of

CPU = torch.device("cpu")
WIDTHS = st.sampled_from((16, 48, 64))
GUARD, POISON = 64, 7.5


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Draw a tensor in bfloat16."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def linear(n_words: int, width: int) -> nn.Linear:
    """Draw a decoder."""
    made = nn.Linear(width, n_words)
    made.weight.data, made.bias.data = drawn(n_words, width), drawn(n_words, seed=1)
    return made.requires_grad_(requires_grad=False)


def scores(variant: Variant, n_words: int, width: int) -> tuple[KernelScores, nn.Linear]:
    """Return the kernel with a drawn decoder, and the decoder."""
    decoder = linear(n_words, width)
    return KernelScores(library_of(variant), decoder), decoder


@each_variant
@settings(deadline=None, max_examples=60)
@given(st.integers(0, 70), st.integers(1, 450), WIDTHS)
def test_scores_are_float64s(variant: Variant, n_states: int, n_words: int, width: int) -> None:
    """Any number of states and words give the product in float64, up to the error of float32 sums."""
    own, decoder = scores(variant, n_words, width)
    states = drawn(n_states, width, seed=2)
    exact = F.linear(states.double(), decoder.weight.double(), decoder.bias.double())
    found = own(states)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=2e-5)


@each_variant
@settings(deadline=None, max_examples=30)
@given(st.integers(1, 70), st.integers(1, 450), st.integers(1, 4))
def test_a_state_has_the_same_bits_with_any_batch_mates(
    variant: Variant, n_states: int, n_words: int, n_threads: int
) -> None:
    """A state alone and with batch mates, on one thread or several, gets the same scores and sum."""
    own, _ = scores(variant, n_words, 48)
    states, before = drawn(n_states, 48, seed=2), torch.get_num_threads()
    alone = torch.cat([own(state) for state in states.split(1)])
    torch.set_num_threads(n_threads)
    try:
        together = own(states)
        summed_up = own.log_sum_exp(together)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(together, alone)
    assert torch.equal(summed_up, torch.cat([own.log_sum_exp(row) for row in alone.split(1)]))


@each_variant
@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(1, 450))
def test_it_writes_its_scores_alone(variant: Variant, n_states: int, n_words: int) -> None:
    """Every score is written, and nothing after the last one."""
    words, panels = torch.zeros(n_words, 16).bfloat16(), torch.zeros(-(-n_states // 32), 8, 32, 2).bfloat16()
    bias, out = torch.arange(n_words).float(), torch.full((n_states * n_words + GUARD,), POISON)
    score_call(library_of(variant))(
        words.data_ptr(), bias.data_ptr(), panels.data_ptr(), out.data_ptr(), 0, n_words, 16, n_states, 1
    )
    assert torch.equal(out[:-GUARD].view(n_states, n_words), bias.expand(n_states, -1))
    assert (out[-GUARD:] == POISON).all()


@each_variant
@settings(deadline=None, max_examples=40)
@given(st.integers(0, 5), st.sampled_from((1, 15, 16, 17, 4095, 4113, 20_001)), st.sampled_from((0.01, 1.0, 40.0)))
def test_sums_are_torchs(variant: Variant, n_states: int, n_words: int, size: float) -> None:
    """Scores of any size have the same sum as in float64."""
    logits = torch.randn(n_states, n_words, generator=torch.Generator().manual_seed(3)) * size - 5
    found = scores(variant, 1, 16)[0].log_sum_exp(logits)
    torch.testing.assert_close(found.double(), logits.double().logsumexp(-1), rtol=1e-6, atol=1e-5)


@each_variant
def test_a_state_that_is_not_numbers_stays_alone(variant: Variant) -> None:
    """NaN in a state gives NaN in all its scores and their sum, and in those of no other state."""
    own, _ = scores(variant, 100, 64)
    states = drawn(30, 64, seed=2)
    states[14, 3] = torch.nan
    found = own(states)
    summed_up = own.log_sum_exp(found)
    assert found[14].isnan().all()
    assert torch.cat([found[:14], found[15:]]).isfinite().all()
    assert summed_up.isnan().nonzero().tolist() == [[14]]


@each_variant
@pytest.mark.parametrize("states", [torch.zeros(9, 64), torch.zeros(9, 48).bfloat16(), torch.zeros(64).bfloat16()])
def test_what_it_cannot_read_is_refused(variant: Variant, states: Tensor) -> None:
    """Another dtype, width or shape is an error before memory is read."""
    with pytest.raises(ValueError, match=r"expected bfloat16 \[states, 64\] on cpu"):
        scores(variant, 100, 64)[0](states)


@each_variant
def test_states_of_any_strides_are_read(variant: Variant) -> None:
    """A view gives what its copy gives."""
    own, states = scores(variant, 100, 64)[0], drawn(64, 9).T
    assert torch.equal(own(states), own(states.contiguous()))


@each_variant
@pytest.mark.parametrize("decoder", [nn.Linear(64, 40), nn.Linear(24, 40).bfloat16()])
def test_a_decoder_that_it_cannot_read_is_refused(variant: Variant, decoder: nn.Linear) -> None:
    """float32 and widths that do not fit are an error before memory is read."""
    with pytest.raises(ValueError, match=r"got a decoder Linear.*, expected bfloat16 on cpu"):
        KernelScores(library_of(variant), decoder)


@each_variant
def test_the_weight_is_shared(variant: Variant) -> None:
    """A decoder that is tied to an embedding keeps no copy: a change of the embedding changes the score."""
    own, decoder = scores(variant, 100, 64)
    states = drawn(3, 64, seed=2)
    before = own(states)
    decoder.weight[7] += 1
    assert (own(states) != before).any(0).nonzero().tolist() == [[7]]


@each_variant
def test_a_decoder_without_bias_has_none(variant: Variant) -> None:
    """Without bias, scores are the product alone."""
    decoder = nn.Linear(64, 40, bias=False).bfloat16().requires_grad_(requires_grad=False)
    states = drawn(3, 64)
    exact = F.linear(states.double(), decoder.weight.double())
    torch.testing.assert_close(KernelScores(library_of(variant), decoder)(states).double(), exact, rtol=1e-5, atol=2e-5)


@each_variant
@pytest.mark.parametrize("score", [nn.Linear(64, 40), nn.Linear(24, 40).bfloat16(), nn.Identity()])
def test_other_decoders_are_torchs(variant: Variant, score: nn.Module) -> None:
    """float32, widths that do not fit and other modules use torch."""
    assert not fits(score)
    assert kernel_decoder(library_of(variant), score, 40) == Decoder(score, 40)
    assert decoder_for(CPU, torch.float32) is decoder_for(torch.device("cuda"), torch.bfloat16) is decoder_of


@pytest.mark.parametrize(
    ("states_per_block", "block_bytes", "at_once"),
    [(1, 0, 1), (1, 3999, 9), (32, 0, 32), (32, 28_000, 64), (32, 25_599, 32)],
)
def test_logits_stand_in_whole_blocks(states_per_block: int, block_bytes: int, at_once: int) -> None:
    """As many states as the bytes hold, in whole blocks, and at least one block."""
    assert Decoder(nn.Identity(), 100, states_per_block=states_per_block).at_once(block_bytes) == at_once


@pytest.mark.skipif(variant_here() is None, reason="torch's own products are used on this processor")
def test_a_decoder_that_fits_is_the_kernels() -> None:
    """In bfloat16, on a CPU that runs the kernels, the kernel scores the vocabulary in whole panels."""
    made = decoder_for(CPU, torch.bfloat16)(linear(40, 64), 40)
    assert isinstance(made.score, KernelScores)
    assert made.at_once(0) == PANEL
