"""Chooses the next token of a sequence from its logits, as GenerationMixin of `transformers` does.

Greedy search takes the largest logit, and the first one of equal logits. Sampling filters by temperature, then top k,
then top p, and draws with `torch.multinomial`. The filters follow TemperatureLogitsWarper, TopKLogitsWarper and
TopPLogitsWarper, in the order of GenerationMixin. Logits that equal the k-th largest are all kept, as in the reference.

Each sequence has a random generator of its own, whose state is kept between steps. Other rows therefore do not change
its draws. Sequence 0 draws what the reference draws after `torch.manual_seed(seed)` for a batch of one row.

Rounding remains: a batch of another shape may change the last bits of the logits, and two tokens that are equal up to
these bits may then swap. This module must not know models, caches or schedulers.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from shared.messages import Sampling

DROPPED = float("-inf")
SEED_MASK = 2**63 - 1


def start_state(sampling: Sampling, sequence: int) -> Tensor | None:
    """Return the initial generator state of a sequence. Greedy sequences draw nothing, so theirs is None."""
    if not sampling.do_sample:
        return None
    return torch.Generator().manual_seed(seed_of(sampling.seed, sequence)).get_state()


def seed_of(seed: int, sequence: int) -> int:
    """Return the seed of a sequence: the given seed for the first one, derived seeds for the others."""
    if sequence == 0:
        return seed
    digest = hashlib.blake2b(f"{seed}/{sequence}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") & SEED_MASK


def draw(logits: Tensor, sampling: Sampling, state: Tensor) -> tuple[int, Tensor]:
    """Draw a token from `logits` FP32 [vocabulary] on the CPU. Return it with the generator state for the next draw."""
    generator = torch.Generator()
    generator.set_state(state)
    scores = _apply_top_p(
        _apply_top_k(_apply_temperature(logits, sampling.temperature), sampling.top_k), sampling.top_p
    )
    token = torch.multinomial(scores.softmax(-1), 1, generator=generator)
    return int(token), generator.get_state()


def _apply_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Divide logits by the temperature.

    Near 0 the quotient overflows, and the reference fails. Here only the largest logits are kept, which is the limit.
    """
    scores = logits / temperature
    if bool(scores.isfinite().all()):
        return scores
    return torch.zeros_like(logits).masked_fill(logits < logits.max(), DROPPED)


def _apply_top_k(scores: Tensor, top_k: int) -> Tensor:
    """Keep the `top_k` largest scores and all scores equal to the last of them. 0 keeps all."""
    if top_k == 0:
        return scores
    last = scores.topk(min(top_k, scores.shape[-1])).values[-1]
    return scores.masked_fill(scores < last, DROPPED)


def _apply_top_p(scores: Tensor, top_p: float) -> Tensor:
    """Keep the smallest set of tokens whose probabilities add up to `top_p`. 1 keeps all."""
    if top_p >= 1.0:
        return scores
    rising, order = scores.sort()
    dropped = rising.softmax(-1).cumsum(-1) <= 1 - top_p
    dropped[-1] = False
    return scores.masked_fill(torch.zeros_like(dropped).scatter(0, order, dropped), DROPPED)
