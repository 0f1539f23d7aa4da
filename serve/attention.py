"""Attention within rows of a packed stream; no row sees another, and nothing is padded.

Must not know layers, weights or what rows are for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor

from serve.pack import Pack, Spans
from serve.trace import Trace

Attend = Callable[[Tensor, Spans, float, bool], Tensor]

MAX_VARLEN_HEAD_WIDTH = 256
VARLEN_CAPABILITY = (8, 0)


@dataclass(frozen=True, slots=True)
class Attention:
    """How every layer of one backbone attends: by what function, at what scale, and whether only backwards."""

    attend: Attend
    scale: float
    causal: bool = False

    def __call__(self, layer: int, qkv: Tensor, pack: Pack, trace: Trace | None) -> Tensor:
        """Return the contexts [tokens, heads * head_width] of layer `layer` (from 0).

        `qkv` is [tokens, 3, heads, head_width]. The probabilities of rows that ask for them are
        computed beside the contexts, which stay what they are without.
        """
        if trace is not None:
            trace.see_attention(layer, qkv, self.scale, causal=self.causal)
        return self.attend(qkv, pack.spans, self.scale, self.causal)


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


def attention_for(device: torch.device, dtype: torch.dtype, head_width: int) -> Attend:
    """Return the fastest attention that this device, dtype and head width can run."""
    flash = (
        device.type == "cuda"
        and dtype in {torch.bfloat16, torch.float16}
        and head_width <= MAX_VARLEN_HEAD_WIDTH
        and head_width % 8 == 0
        and torch.cuda.get_device_capability(device) >= VARLEN_CAPABILITY
    )
    return attend_varlen if flash else attend_runs
