"""Attention within the rows of a packed stream, in torch.

No row sees another row, and nothing is padded. This module must not know other layers, weights or what rows are for.
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

LONG_TOKENS = 224  # row length from which one softmax in bfloat16 is faster than a softmax in float32 and a conversion
MAX_SCORES = 2**21  # attention scores of one product, so that they stay in the cache of a core or near it
MAX_BLOCK_SCORES = 2**24  # of one product of a single long row, which takes some queries at a time


@dataclass(frozen=True, slots=True)
class Attention:
    """The attention of all layers of one backbone: the function, the scale, and whether it is causal."""

    attend: Attend
    scale: float
    causal: bool = False

    def __call__(self, layer: int, qkv: Tensor, pack: Pack, trace: Trace | None) -> Tensor:
        """Return the contexts [tokens, heads * head_width] of layer `layer`, which counts from 0.

        `qkv` is [tokens, 3, heads, head_width]. It may have padding rows after the tokens of the pack; their contexts
        are zeros. Attention probabilities for `trace` are computed separately and do not change the contexts.
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
        """Write the keys and values of a row into its cache.

        Return its new queries, all its keys and all its values.
        """
        start, kept = pack.spans.starts[row], pack.rows[row]
        query, keys, values = qkv[start : start + kept.n_tokens].permute(1, 2, 0, 3)
        if kept.cache is None:
            raise ValueError("got a row that resumes without a cache. This is a bug.")
        return query, *kept.cache.write(layer, kept.n_cached, keys, values)

    def _resume(self, layer: int, qkv: Tensor, pack: Pack, row: int) -> Tensor:
        """Return the contexts of a row that continues from its cache.

        Each new token sees the cached tokens and the new tokens up to itself.
        """
        query, keys, values = self._write_cache(layer, qkv, pack, row)
        n_new, n_known = query.shape[1], keys.shape[1]
        mask = None
        if n_new > 1:
            mask = torch.ones(n_new, n_known, dtype=torch.bool, device=qkv.device).tril(n_known - n_new)
        context = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=self.scale)
        return context.transpose(0, 1).reshape(n_new, -1)


def attend_sdpa(qkv: Tensor, spans: Spans, scale: float, causal: bool) -> Tensor:  # noqa: FBT001 - callers of Attend pass it by position
    """Attend with one scaled_dot_product_attention call for each run of rows of equal length.

    `qkv` is [tokens, 3, heads, head_width]; the result is [tokens, heads * head_width]. Queries, keys and values are
    views. With `causal`, a token sees itself and the tokens before it. Rows of different lengths do not share a call.
    On a CPU, the copies and the mask for that cost more than the call: 8 rows of 8 tokens with 12 heads take 144 us
    apart and 192 us together, and longer rows gain nothing.
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
    causal: bool,  # noqa: FBT001 - callers of Attend pass it by position
    max_scores: int = MAX_SCORES,
) -> Tensor:
    """Attend with two matrix products and a float32 softmax per run of rows of equal length. Shapes as `attend_sdpa`.

    In bfloat16 on a CPU this takes half the time of the fused call: 2.2 instead of 5.0 us per token for rows of 70
    tokens and 12 heads of width 64. Probabilities are rounded to the dtype of the states, as in the eager attention of
    `transformers`.
    """
    contexts = []
    for first, last, length in _chunks(spans, max_scores // qkv.shape[2]):
        n_rows = (last - first) // length
        shaped = qkv[first:last].view(n_rows, length, *qkv.shape[1:]).permute(2, 0, 3, 1, 4)
        query, key, value = shaped.reshape(3, -1, length, qkv.shape[3])
        seen = []
        for begin, block in _query_blocks(query):
            scores = torch.baddbmm(query.new_empty(1), block, key.transpose(1, 2), beta=0, alpha=scale)
            if causal:
                scores = scores.masked_fill(_causal_mask(begin, block.shape[1], length, qkv.device), -torch.inf)
            seen.append(_probabilities(scores) @ value)
        context = torch.cat(seen, dim=1)
        contexts.append(context.view(n_rows, -1, length, qkv.shape[3]).transpose(1, 2).reshape(last - first, -1))
    return torch.cat(contexts)


def _query_blocks(query: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield the first token and the queries of blocks of `query` [rows * heads, length, width] that share a product.

    A block has at most MAX_BLOCK_SCORES scores, or one query. So memory grows with the length of a row and not with
    its square. Rows of up to some hundred tokens are one block.
    """
    n_rows, length = query.shape[:2]
    n_blocks = -(-n_rows * length**2 // MAX_BLOCK_SCORES)
    step = -(-length // n_blocks)
    for begin in range(0, length, step):
        yield begin, query[:, begin : begin + step]


def _probabilities(scores: Tensor) -> Tensor:
    """Return the softmax of scores [..., length, length] in their dtype, computed in float32 and rounded once.

    Long rows take one step, short rows take two. In bfloat16 torch's one-step softmax is 50 % slower on 55 scores. On
    384 scores it is 25 % faster, because the float32 values no longer fit into the cache.
    """
    if scores.shape[-1] >= LONG_TOKENS:
        return scores.softmax(-1)
    return scores.softmax(-1, dtype=torch.float32).to(scores.dtype)


def _chunks(spans: Spans, max_scores: int) -> Iterator[tuple[int, int, int]]:
    """Yield first token, last token and row length of groups of rows of equal length.

    A group has at most `max_scores` scores per head, or is a single row.
    """
    for run in spans.runs:
        step = run.length * max(1, max_scores // run.length**2)
        for first in range(run.first, run.last, step):
            yield first, min(first + step, run.last), run.length


def attend_varlen(qkv: Tensor, spans: Spans, scale: float, causal: bool) -> Tensor:  # noqa: FBT001 - callers of Attend pass it by position
    """Attend to all rows in one variable-length flash attention call. Shapes as `attend_sdpa`.

    It needs CUDA and half precision.
    """
    from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415 - registers CUDA operators when imported

    query, key, value = qkv.unbind(1)
    longest = max(spans.lengths)
    context = varlen_attn(
        query, key, value, spans.cumulative_lengths, spans.cumulative_lengths, longest, longest,
        scale=scale, window_size=(-1, 0) if causal else (-1, -1),
    )  # fmt: skip
    return torch.as_tensor(context).flatten(1)


def attend_eager(qkv: Tensor, spans: Spans, scale: float, causal: bool) -> Tensor:  # noqa: FBT001 - callers of Attend pass it by position
    """Attend row by row with explicit probabilities, as the eager attention of `transformers` does.

    Shapes as `attend_sdpa`.
    """
    contexts = []
    for start, length in zip(spans.starts, spans.lengths, strict=True):
        query, key, value = qkv[start : start + length].permute(1, 2, 0, 3)
        for begin, block in _query_blocks(query):
            scores = block @ key.transpose(1, 2) * scale
            if causal:
                scores = scores.masked_fill(_causal_mask(begin, block.shape[1], length, qkv.device), -torch.inf)
            contexts.append((scores.softmax(-1) @ value).transpose(0, 1).reshape(block.shape[1], -1))
    return torch.cat(contexts)


def _causal_mask(begin: int, n_queries: int, length: int, device: torch.device) -> Tensor:
    """Return bool [n_queries, length], true where a token must not see another. The first token is `begin`."""
    return torch.ones(n_queries, length, dtype=torch.bool, device=device).triu(1 + begin)
