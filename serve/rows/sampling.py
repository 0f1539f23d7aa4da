"""The next token of a sequence from its logits, as `transformers` GenerationMixin chooses it.

Greedy takes the largest logit, the first of equals. Sampling filters by temperature, then top k, then top p
(LogitsProcessor classes of those names, in the order of GenerationMixin), and draws with
`torch.multinomial`. A sequence draws from a generator of its own, kept as its state between steps, so
that no other row moves its draws; sequence 0 draws what the reference draws after `torch.manual_seed(seed)`
for a batch of one row. Equal logits at the rank of `top_k` are all kept, as the reference keeps them.
What is left to float noise: a batch of another shape may change the last bits of the logits, and two tokens
whose logits (greedy) or whose logits plus noise (sampling) agree to those bits may then change places.
Must not know models, caches or who is scheduled.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from shared.messages import Sampling

DROPPED = float("-inf")
SEED_MASK = 2**63 - 1


def start_state(sampling: Sampling, sequence: int) -> Tensor | None:
    """Return the generator state a sequence starts from, or None for greedy ones, which draw nothing."""
    if not sampling.do_sample:
        return None
    return torch.Generator().manual_seed(seed_of(sampling.seed, sequence)).get_state()


def seed_of(seed: int, sequence: int) -> int:
    """Return the seed of one of a row's sequences: the asked one for the first, unrelated ones for the others."""
    if sequence == 0:
        return seed
    digest = hashlib.blake2b(f"{seed}/{sequence}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") & SEED_MASK


def choose(logits: Tensor, sampling: Sampling, state: Tensor | None) -> tuple[int, Tensor | None]:
    """Choose the next token from `logits` FP32 [vocabulary]; return it with what the next choice starts from."""
    return (int(logits.argmax()), None) if state is None else draw(logits.cpu(), sampling, state)


def draw(logits: Tensor, sampling: Sampling, state: Tensor) -> tuple[int, Tensor]:
    """Draw a token from `logits` FP32 [vocabulary] on the CPU; return it with the generator's next state."""
    generator = torch.Generator()
    generator.set_state(state)
    scores = _nucleus(_best(_cooled(logits, sampling.temperature), sampling.top_k), sampling.top_p)
    token = torch.multinomial(scores.softmax(-1), 1, generator=generator)
    return int(token), generator.get_state()


def _cooled(logits: Tensor, temperature: float) -> Tensor:
    """Return logits at a temperature; so near 0 that they overflow, where the reference fails, the limit of that."""
    scores = logits / temperature
    if bool(scores.isfinite().all()):
        return scores
    return torch.zeros_like(logits).masked_fill(logits < logits.max(), DROPPED)


def _best(scores: Tensor, top_k: int) -> Tensor:
    """Keep the `top_k` largest scores and their equals; 0 keeps all."""
    if top_k == 0:
        return scores
    last = scores.topk(min(top_k, scores.shape[-1])).values[-1]
    return scores.masked_fill(scores < last, DROPPED)


def _nucleus(scores: Tensor, top_p: float) -> Tensor:
    """Keep the fewest tokens whose probabilities add up to `top_p`; 1 keeps all."""
    if top_p >= 1.0:
        return scores
    rising, order = scores.sort()
    dropped = rising.softmax(-1).cumsum(-1) <= 1 - top_p
    dropped[-1] = False
    return scores.masked_fill(torch.zeros_like(dropped).scatter(0, order, dropped), DROPPED)
