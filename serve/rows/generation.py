"""The steps of a generating row: what its next pass reads, what a new token changes, and when it is done.

XLM-R and XL models continue from cached keys and values. XLM predicts the token at a mask that it appends to the text,
and reads all of the text in one language. Both follow GenerationMixin of `transformers`. All values are immutable, so
that a pass that failed can run again. This module must not know weights, heads or schedulers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from serve.rows.kv_cache import CacheShape
from serve.rows.row import Generation, Row, RowOutput, Step
from serve.rows.sampling import start_state
from shared.messages import Sampling


@dataclass(frozen=True, slots=True)
class Rules:
    """How the models of a family continue texts.

    Each of `eos_ids` ends a sequence; if there is none, only the length ends it. `mask_id` is the token that XLM
    appends to the text, and `lang_id` is its language for rows that name none. `cache_token_bytes` is the size of one
    token's keys and values. It is 0 for models in which every token sees the new one, because they cannot cache
    anything. `zeroed_id` is the padding id of XLM. The reference counts the padding ids in a text and treats as many
    tokens at its end as padding, so that the mask gets a zero state.
    """

    eos_ids: frozenset[int] = frozenset()
    mask_id: int | None = None
    lang_id: int | None = None
    cache_token_bytes: int = 0
    zeroed_id: int | None = None


def begin(row: Row, rules: Rules) -> Row:
    """Return the row of the first pass for a prompt."""
    sampling = row.sampling or Sampling()
    state = Generation(row, random=start_state(sampling, row.sequence))
    return _next_pass(replace(state, cache_bytes=rules.cache_token_bytes * state.most_tokens), rules)


def has_zero_state(row: Row, rules: Rules) -> bool:
    """Say whether the reference predicts the next token of a row from a zero state. See `Rules.zeroed_id`."""
    state = state_of(row)
    return rules.zeroed_id is not None and (
        rules.zeroed_id in state.new_ids or bool((state.prompt.input_ids == rules.zeroed_id).any())
    )


def with_cache(row: Row, cache_shape: CacheShape) -> Row:
    """Return a started row with memory for its keys and values."""
    state = state_of(row)
    return (
        row
        if state.cache is not None
        else replace(row, state=replace(state, cache=cache_shape.make(state.most_tokens)))
    )


def advance(row: Row, token: int, random: Tensor | None, rules: Rules) -> Step | RowOutput:
    """Return what follows `token`: the step with the row of the next pass, or the output when the row is done.

    The output is `ids` INT32 [new tokens] and `row_lengths` INT32 [1]. As in `generate`, `ids` include the
    end-of-sequence token.
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
    """Return the generation state of a started row. Raises ValueError for a row that has not started."""
    if row.state is None:
        raise ValueError("got a row that has not begun. This is a bug.")
    return row.state


def _next_pass(state: Generation, rules: Rules) -> Row:
    """Return the row of the next pass: the part of the text that is not cached."""
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
    """Return position ids int32 [length]. They count from 0, as in GenerationMixin, or continue the given ones."""
    if given is None:
        return torch.arange(length, dtype=torch.int32)
    after = torch.arange(1, length - len(given) + 1, dtype=torch.int32) + given[-1]
    return torch.cat([given, after])
