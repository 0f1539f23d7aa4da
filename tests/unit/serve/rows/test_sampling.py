"""The choice of a token equals that of the reference's LogitsProcessors and its draws."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation.logits_process import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from serve.engine.fake import choose
from serve.rows.sampling import draw, seed_of, start_state
from shared.messages import Sampling

SETTINGS = st.builds(
    Sampling,
    do_sample=st.just(True),
    temperature=st.floats(0.05, 5),
    top_k=st.integers(0, 40),
    top_p=st.floats(0.01, 1),
    seed=st.integers(0, 2**53),
)


def _reference(sampling: Sampling) -> LogitsProcessorList:
    """Return the processors that GenerationMixin makes for these settings, in its order."""
    processors = LogitsProcessorList()
    if sampling.temperature != 1.0:
        processors.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        processors.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1.0:
        processors.append(TopPLogitsWarper(sampling.top_p))
    return processors


@settings(max_examples=150, deadline=None)
@given(SETTINGS, st.integers(0, 2**32 - 1), st.integers(1, 60), st.booleans())
def test_draws_are_those_of_the_reference(sampling: Sampling, seed: int, n_tokens: int, has_ties: bool) -> None:  # noqa: FBT001 - hypothesis passes it by name
    """In every step the token is what the reference draws with the same seed, also with equal logits."""
    logits = torch.randn(5, n_tokens, generator=torch.Generator().manual_seed(seed)) * 3
    logits = logits.round() if has_ties else logits
    state = start_state(sampling, 0)
    assert state is not None
    processors = _reference(sampling)
    torch.manual_seed(sampling.seed)
    for step in logits:
        scores = processors(torch.zeros(1, 1).long(), step[None].clone())  # type: ignore[arg-type] # it is a LongTensor
        theirs = int(torch.multinomial(scores.softmax(-1), 1))
        ours, state = draw(step, sampling, state)
        assert ours == theirs


def test_greedy_takes_the_first_of_equal_logits() -> None:
    """Greedy search takes the first of equal logits, as torch.argmax does in the reference."""
    assert choose(torch.tensor([0.0, 2.0, 2.0]), Sampling(), None) == (1, None)
    assert start_state(Sampling(), 0) is None


def test_equal_logits_at_the_last_rank_are_all_kept() -> None:
    """With top_k 1 and two equal largest logits, both tokens are drawn at times, and the third one never."""
    logits, sampling = torch.tensor([1.0, 5.0, 5.0]), Sampling(do_sample=True, top_k=1)
    drawn = {draw(logits, sampling, torch.Generator().manual_seed(seed).get_state())[0] for seed in range(40)}
    assert drawn == {1, 2}


@pytest.mark.parametrize("temperature", [1e-40, 1e-320])
def test_a_temperature_at_which_scores_overflow_draws_among_the_largest(temperature: float) -> None:
    """A lower temperature favours the largest logit. If the quotient is infinite, nothing else is drawn."""
    sampling = Sampling(do_sample=True, temperature=temperature)
    states = [torch.Generator().manual_seed(seed).get_state() for seed in range(20)]
    assert {draw(torch.tensor([0.0, -3.0, 2.0, 1.9]), sampling, state)[0] for state in states} == {2}
    assert {draw(torch.tensor([-1.0, -1.0, -9.0]), sampling, state)[0] for state in states} == {0, 1}


def test_a_draw_leaves_the_state_it_began_with() -> None:
    """The same state gives the same token again, so that a pass that failed can run again."""
    sampling = Sampling(do_sample=True)
    state = start_state(sampling, 3)
    assert state is not None
    logits = torch.zeros(50)
    assert draw(logits, sampling, state)[0] == draw(logits, sampling, state)[0]


@pytest.mark.parametrize("seed", [0, 7, 2**53])
def test_sequences_draw_apart(seed: int) -> None:
    """The sequences of a row have different seeds. The first one has the seed of the request."""
    seeds = [seed_of(seed, sequence) for sequence in range(16)]
    assert seeds[0] == seed
    assert len(set(seeds)) == 16
    assert all(0 <= own < 2**63 for own in seeds)
