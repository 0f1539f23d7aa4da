"""Attention within rows of a packed stream; no row sees another, and nothing is padded.

Must not know layers, weights or what rows are for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor

from serve.layers.trace import Trace
from serve.rows.pack import Pack, Spans

Attend = Callable[[Tensor, Spans, float, bool], Tensor]

LONG_TOKENS = 224  # of a row, from which one softmax in bfloat16 is quicker than one in float32 and its rounding
MAX_SCORES = 2**21  # attention scores of one product: they stay in the cache of a core or near it


@dataclass(frozen=True, slots=True)
class Attention:
    """How every layer of one backbone attends: by what function, at what scale, and whether only backwards."""

    attend: Attend
    scale: float
    causal: bool = False

    def __call__(self, layer: int, qkv: Tensor, pack: Pack, trace: Trace | None) -> Tensor:
        """Return the contexts [tokens, heads * head_width] of layer `layer` (from 0).

        `qkv` is [tokens, 3, heads, head_width]; behind the pack's own tokens may be spare ones, whose contexts are
        zeros. The probabilities of rows that ask for them are computed beside the contexts, which stay what they are
        without.
        """
        n_padding = len(qkv) - len(pack.ids)
        contexts = self._contexts(layer, qkv[: len(pack.ids)], pack, trace)
        return F.pad(contexts, (0, 0, 0, n_padding)) if n_padding else contexts

    def _contexts(self, layer: int, qkv: Tensor, pack: Pack, trace: Trace | None) -> Tensor:
        if trace is not None:
            trace.record_attention(layer, qkv, self.scale, causal=self.causal)
        for row in pack.cache_writers:
            self._write_cache(layer, qkv, pack, row)
        if not pack.n_resumed:
            return self.attend(qkv, pack.spans, self.scale, self.causal)
        contexts = [self._resume(layer, qkv, pack, row) for row in range(pack.n_resumed)]
        if pack.uncached_spans is not None:
            rest = qkv[pack.spans.starts[pack.n_resumed] :]
            contexts.append(self.attend(rest, pack.uncached_spans, self.scale, self.causal))
        return torch.cat(contexts)

    def _write_cache(self, layer: int, qkv: Tensor, pack: Pack, row: int) -> tuple[Tensor, Tensor, Tensor]:
        """Keep the keys and values of a row with a cache; return its new queries, all its keys, all its values."""
        start, kept = pack.spans.starts[row], pack.rows[row]
        query, keys, values = qkv[start : start + kept.n_tokens].permute(1, 2, 0, 3)
        if kept.cache is None:
            raise ValueError("got a row that resumes without a cache. This is a bug.")
        return query, *kept.cache.write(layer, kept.n_cached, keys, values)

    def _resume(self, layer: int, qkv: Tensor, pack: Pack, row: int) -> Tensor:
        """Return the contexts of a row whose text before is in its cache: each token sees that, and up to itself."""
        query, keys, values = self._write_cache(layer, qkv, pack, row)
        n_new, n_known = query.shape[1], keys.shape[1]
        mask = None
        if n_new > 1:
            mask = torch.ones(n_new, n_known, dtype=torch.bool, device=qkv.device).tril(n_known - n_new)
        context = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=self.scale)
        return context.transpose(0, 1).reshape(n_new, -1)


def attend_runs(qkv: Tensor, spans: Spans, scale: float, causal: bool) -> Tensor:  # noqa: FBT001 - Attend passes it in place
    """Attend with one scaled_dot_product_attention call for each run of equal lengths.

    `qkv` is [tokens, 3, heads, head_width]; returns [tokens, heads * head_width]. Queries, keys
    and values are views. `causal`: a token sees itself and those before it. Rows of near length do
    not share a call: on a CPU the copies and the mask this needs cost more than the call (8 rows of
    8 tokens, 12 heads: 144 us apart, 192 us together; longer rows gain nothing at all).
    """
    contexts = []
    for run in spans.runs:
        shaped = qkv[run.first : run.last].view(run.n_rows, run.length, *qkv.shape[1:])
        query, key, value = shaped.permute(2, 0, 3, 1, 4)
        context = F.scaled_dot_product_attention(query, key, value, scale=scale, is_causal=causal)
        contexts.append(context.transpose(1, 2).reshape(run.last - run.first, -1))
    return torch.cat(contexts)


def attend_products(
    qkv: Tensor,
    spans: Spans,
    scale: float,
    causal: bool,  # noqa: FBT001 - likewise
    max_scores: int = MAX_SCORES,
) -> Tensor:
    """Attend with two matrix products and a float32 softmax for each run of equal lengths. Shapes as `attend_runs`.

    In bfloat16 on a CPU this takes half the time of the fused call (2.2 against 5.0 us a token of a row of 70, 12 heads
    of 64); probabilities are rounded to the dtype of the states, as the reference's eager path does.
    """
    contexts = []
    for first, last, length in _chunks(spans, max_scores // qkv.shape[2]):
        n_rows = (last - first) // length
        shaped = qkv[first:last].view(n_rows, length, *qkv.shape[1:]).permute(2, 0, 3, 1, 4)
        query, key, value = shaped.reshape(3, -1, length, qkv.shape[3])
        scores = torch.baddbmm(query.new_empty(1), query, key.transpose(1, 2), beta=0, alpha=scale)
        if causal:
            scores = scores.masked_fill(_causal_mask(length, qkv.device), -torch.inf)
        context = _probabilities(scores) @ value
        contexts.append(context.view(n_rows, -1, length, qkv.shape[3]).transpose(1, 2).reshape(last - first, -1))
    return torch.cat(contexts)


def _probabilities(scores: Tensor) -> Tensor:
    """Return the softmax of scores [..., length, length] in their dtype, computed in float32 and rounded once.

    In one step where rows are long, in two where they are short: torch's own is slower by half on 55 scores in bfloat16
    and faster by a quarter on 384, where the float32 numbers no longer fit into the cache.
    """
    if scores.shape[-1] >= LONG_TOKENS:
        return scores.softmax(-1)
    return scores.softmax(-1, dtype=torch.float32).to(scores.dtype)


def _chunks(spans: Spans, max_scores: int) -> Iterator[tuple[int, int, int]]:
    """Yield first and last token and row length of stretches of equal lengths, `max_scores` a head or one row."""
    for run in spans.runs:
        step = run.length * max(1, max_scores // run.length**2)
        for first in range(run.first, run.last, step):
            yield first, min(first + step, run.last), run.length


def attend_varlen(qkv: Tensor, spans: Spans, scale: float, causal: bool) -> Tensor:  # noqa: FBT001 - likewise
    """Attend to all rows in one variable-length flash call (CUDA, half precision). Shapes as `attend_runs`."""
    from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415 - registers CUDA operators when imported

    query, key, value = qkv.unbind(1)
    longest = max(spans.lengths)
    context = varlen_attn(
        query, key, value, spans.bounds, spans.bounds, longest, longest,
        scale=scale, window_size=(-1, 0) if causal else (-1, -1),
    )  # fmt: skip
    return torch.as_tensor(context).flatten(1)


def attend_eager(qkv: Tensor, spans: Spans, scale: float, causal: bool) -> Tensor:  # noqa: FBT001 - likewise
    """Attend row by row with probabilities spelled out, as the reference's eager path does. Shapes as `attend_runs`."""
    contexts = []
    for start, length in zip(spans.starts, spans.lengths, strict=True):
        query, key, value = qkv[start : start + length].permute(1, 2, 0, 3)
        scores = query @ key.transpose(1, 2) * scale
        if causal:
            scores = scores.masked_fill(_causal_mask(length, qkv.device), -torch.inf)
        contexts.append((scores.softmax(-1) @ value).transpose(0, 1).reshape(length, -1))
    return torch.cat(contexts)


def _causal_mask(length: int, device: torch.device) -> Tensor:
    """Return [length, length], true where a causal token does not see."""
    return torch.ones(length, length, dtype=torch.bool, device=device).triu(1)
