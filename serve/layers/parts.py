"""The makers that a packed model is built with: attention, positions, activation, linear layers, norms and embeddings.

Quantization replaces some of them, and tests replace some of them with faulty ones. This module must not know the
layers of a family.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor, nn

from serve.layers.attention import Attend, attend_sdpa
from serve.layers.embeddings import MakeEmbed, no_embed
from serve.layers.heads import MakeDecoder, decoder_of
from serve.layers.linear import Activate, MakeLinear, linear_of
from serve.layers.norms import MakeNorm, norm_of
from serve.rows.pack import Spans, reference_positions

MakeEmbedding = Callable[[str, Tensor], nn.Module]
MakeTied = Callable[[str, nn.Module, Tensor | None], nn.Module]


def embedding_of(name: str, weight: Tensor) -> nn.Module:  # noqa: ARG001 - quantizing makers read it
    """Make an Embedding that uses `weight` [rows, width] unchanged. `name` is its name in the model."""
    table: nn.Embedding = nn.Embedding.from_pretrained(weight)  # type: ignore[no-untyped-call] # torch has no types here
    return table


def tied_of(name: str, words: nn.Module, bias: Tensor | None) -> nn.Module:
    """Make the decoder of a masked LM that shares its weight with the word embedding `words`."""
    return linear_of(name, words.get_parameter("weight").detach(), bias)


@dataclass(frozen=True, slots=True)
class ModelParts:
    """The makers of encoders and heads.

    `attend` computes attention within rows. `positions` counts position ids, in families that derive them from the ids.
    `activate` is the feed-forward activation, in families whose checkpoints do not choose one. `linear` makes every
    linear layer. `embedding` makes every word embedding. `tied` makes decoders that share the weight of the word
    embedding. `decoder` makes the scores over the vocabulary from any decoder. `norm` makes the LayerNorms of post-norm
    layers. `embed` may make a function that computes all of the input embeddings in one call.
    """

    attend: Attend = attend_sdpa
    positions: Callable[[Tensor, Spans, int], Tensor] = reference_positions
    activate: Activate = F.gelu
    linear: MakeLinear = linear_of
    embedding: MakeEmbedding = embedding_of
    tied: MakeTied = tied_of
    decoder: MakeDecoder = decoder_of
    norm: MakeNorm = norm_of
    embed: MakeEmbed = no_embed
