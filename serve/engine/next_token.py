"""Chooses the next token of every generating row of a pass from the states of the backbone.

It must not know layers, the contents of caches or schedulers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from serve.layers.heads import NextTokenHead
from serve.rows.generation import Rules, advance, has_zero_state, state_of
from serve.rows.pack import Pack
from serve.rows.row import Row, RowOutput, Step
from serve.rows.sampling import draw


def continue_rows(
    head: NextTokenHead, states: Tensor, pack: Pack, members: Sequence[int], rules: Rules
) -> list[Step | RowOutput]:
    """Choose the next token of each packed row in `members`. Return the step or output that follows, in that order.

    A row whose logits are not all finite gets an output with its logits, so that the engine returns an error for it.
    """
    rows = [pack.rows[member] for member in members]
    last = head.last_states(states, pack, members)
    blank = torch.tensor([has_zero_state(row, rules) for row in rows]).to(last.device)
    last = last.masked_fill(blank[:, None], 0.0)
    results: list[Step | RowOutput] = []
    for first in range(0, len(rows), head.at_once):
        block = slice(first, first + head.at_once)
        results += _continue_block(rows[block], head.score(last[block]), rules)
    return results


def _continue_block(rows: Sequence[Row], logits: Tensor, rules: Rules) -> list[Step | RowOutput]:
    """Choose tokens from `logits` FP32 [rows, vocabulary]. Only logits of rows that sample are copied to the CPU."""
    largest = logits.argmax(-1).tolist()
    finite = logits.isfinite().all(-1).tolist()
    results: list[Step | RowOutput] = []
    for index, row in enumerate(rows):
        if not finite[index]:
            results.append({"logits": logits[index : index + 1].cpu()})
            continue
        state = state_of(row)
        token, random = largest[index], None
        if state.random is not None:
            token, random = draw(logits[index].cpu(), state.sampling, state.random)
        results.append(advance(row, token, random, rules))
    return results
