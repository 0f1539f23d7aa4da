"""The life of a generating row: what its next pass reads, what a new token makes of it, when it is done.

XLM-R and XL models read on from what they have cached. XLM asks for the token at a mask it puts behind the
text, in one language throughout. Both as GenerationMixin of the reference does for them. Nothing here
changes once made, so that a pass that broke can run again. Must not know weights, heads or schedulers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from serve.rows.kv_cache import Caching
from serve.rows.row import Generation, Row, RowOutput, Step
from serve.rows.sampling import start_state
from shared.messages import Sampling

if TYPE_CHECKING:
    from serve.rows.kv_cache import Caching
    from serve.rows.row import Row, RowOutput


@dataclass(frozen=True, slots=True)
class Rules:
    """How a model continues texts.

    Any of `eos_ids` ends a sequence (none: only its length does). `mask_id` is what XLM puts behind the text, `lang_id`
    its language where a row names none. `cache_token_bytes` is what one token's keys and values take; 0 for
    models that read everything anew, because every token sees the new one. `zeroed_id`: XLM takes as many tokens
    from the end of a text as the text has of this id (its padding) for padding, the mask first, whose state
    is then zero.
    """

    eos_ids: frozenset[int] = frozenset()
    mask_id: int | None = None
    lang_id: int | None = None
    cache_token_bytes: int = 0
    zeroed_id: int | None = None


def begin(row: Row, rules: Rules) -> Row:
    """Return a prompt as the row of its first pass."""
    sampling = row.sampling or Sampling()
    state = Generation(row, random=start_state(sampling, row.sequence))
    return _next_pass(replace(state, cache_bytes=rules.cache_token_bytes * state.most_tokens), rules)


def has_zero_state(row: Row, rules: Rules) -> bool:
    """Say whether the reference reads the next token of a row from a zero state."""
    state = state_of(row)
    return rules.zeroed_id is not None and (
        rules.zeroed_id in state.new_ids or bool((state.prompt.input_ids == rules.zeroed_id).any())
    )


def with_cache(row: Row, caching: Caching) -> Row:
    """Return a row that has begun with room for its keys and values."""
    state = state_of(row)
    return row if state.cache is not None else replace(row, state=replace(state, cache=caching.make(state.most_tokens)))


def advance(row: Row, token: int, random: Tensor | None, rules: Rules) -> Step | RowOutput:
    """Return what a row is after `token`: its next pass, or its output when it is done.

    The output is `ids` INT32 [new tokens], the end-of-sequence token included as `generate` returns it, and
    `row_lengths` INT32 [1].
    """
    state = state_of(row)
    new_ids = (*state.new_ids, token)
    if token in rules.eos_ids or len(new_ids) >= state.sampling.max_new_tokens:
        return {
            "ids": torch.tensor(new_ids, dtype=torch.int32),
            "row_lengths": torch.tensor([len(new_ids)], dtype=torch.int32),
        }
    n_read = state.n_cached + row.n_tokens - (rules.mask_id is not None)
    n_cached = n_read if rules.cache_token_bytes else 0
    following = _next_pass(replace(state, new_ids=new_ids, random=random, n_cached=n_cached), rules)
    return Step(following, following.n_tokens)


def state_of(row: Row) -> Generation:
    """Return how far a row that has begun has come."""
    if row.state is None:
        raise ValueError("got a row that has not begun. This is a bug.")
    return row.state


def _next_pass(state: Generation, rules: Rules) -> Row:
    """Return the row of a sequence's next pass: what is not cached of its text."""
    prompt = state.prompt
    new = prompt.input_ids.new_tensor([*state.new_ids, *([] if rules.mask_id is None else [rules.mask_id])])
    ids = torch.cat([prompt.input_ids, new])
    position_ids = _position_ids(prompt.position_ids, len(ids))
    lang_ids = None
    if prompt.lang_ids is not None and len(prompt.lang_ids):
        lang_ids = prompt.lang_ids[:1].expand(len(ids))
    elif rules.lang_id is not None:
        lang_ids = torch.full_like(ids, rules.lang_id)
    return replace(
        prompt,
        input_ids=ids[state.n_cached :],
        position_ids=position_ids[state.n_cached :],
        lang_ids=None if lang_ids is None else lang_ids[state.n_cached :],
        state=state,
    )


def _position_ids(given: Tensor | None, length: int) -> Tensor:
    """Return position ids int32 [length]: from 0 as GenerationMixin numbers them, or on from those given."""
    if given is None:
        return torch.arange(length, dtype=torch.int32)
    after = torch.arange(1, length - len(given) + 1, dtype=torch.int32) + given[-1]
    return torch.cat([given, after])
