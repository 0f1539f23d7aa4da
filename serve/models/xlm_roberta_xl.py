"""XLM-RoBERTa-XL and XXL: a packed encoder over the weights of `transformers` checkpoints.

It follows XLMRobertaXLModel of `transformers` (Goyal et al. 2021). Unlike in XLM-RoBERTa, the LayerNorm comes before
each block, there is one more after the last layer, and there is none after the embeddings. This module must not know
files or how rows were chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from serve.layers.linear import activated, compiles_per_length, with_padding_rows
from serve.layers.parts import ModelParts
from serve.layers.trace import Trace
from serve.models.config_checks import parse_config
from serve.models.named_tensors import norm_shapes, weight_and_bias
from serve.models.roberta_heads import PREFIX, WORDS, build_head, find_heads, head_shapes
from serve.models.xlm_roberta import (
    ONLY,
    OTHER_HEADS,
    UNUSED,
    Embeddings,
    attention,
    backbone_limits,
    check_roberta,
    computed,
    embedding_shapes,
    is_causal,
    lang2id,
    layer_shapes,
    max_tokens,
    pad_id,
    qkv_tensors,
    rules,
    vocab_size,
    wide_norm,
    width,
)  # fmt: skip
from serve.rows.pack import Pack
from shared.catalog import Family

__all__ = [  # what this family shares with XLM-RoBERTa, as family.Family names it
    "OTHER_HEADS", "PREFIX", "UNUSED", "WORDS", "backbone_limits", "build_head", "computed", "find_heads",
    "head_shapes", "is_causal", "lang2id", "max_tokens", "pad_id", "rules", "vocab_size", "width",
]  # fmt: skip

FAMILY: Family = "xlm-roberta-xl"


class Layer(nn.Module):
    """One pre-norm transformer layer on packed states [tokens, width]. Queries, keys and values are one product.

    States stay float32 between layers for every dtype of the products. The sum of the blocks is not normalized before
    the end, so that bfloat16 would round it at every block, and float16 could overflow.
    """

    def __init__(self, index: int, config: Any, tensors: Mapping[str, Tensor], parts: ModelParts) -> None:
        super().__init__()
        layer, eps = f"encoder.layer.{index}", config.layer_norm_eps
        self.index = index
        self.n_heads = config.num_attention_heads
        self.activate = parts.activate
        self.attention = attention(config, parts)
        self.dtype = tensors[WORDS].dtype
        self.qkv_norm = wide_norm(f"{layer}.attention.self_attn_layer_norm", tensors, eps)
        self.qkv = parts.linear(f"layers.{index}.qkv", *qkv_tensors(layer, tensors))
        self.mix = parts.linear(f"layers.{index}.mix", *weight_and_bias(f"{layer}.attention.output.dense", tensors))
        self.up_norm = wide_norm(f"{layer}.LayerNorm", tensors, eps)
        self.up = parts.linear(f"layers.{index}.up", *weight_and_bias(f"{layer}.intermediate.dense", tensors))
        self.down = parts.linear(f"layers.{index}.down", *weight_and_bias(f"{layer}.output.dense", tensors))

    def forward(self, states: Tensor, pack: Pack, trace: Trace | None) -> Tensor:
        """Return the states float32 [tokens, width] after this layer."""
        qkv = self.qkv(self.qkv_norm(states).to(self.dtype)).view(states.shape[0], 3, self.n_heads, -1)
        states = states + self.mix(self.attention(self.index, qkv, pack, trace))
        inner = activated(self.up, self.up_norm(states).to(self.dtype), self.activate)
        return torch.as_tensor(states + self.down(inner))


class Encoder(nn.Module):
    """The backbone: packed ids [tokens] to states [tokens, width], normalized once at the end."""

    def __init__(self, config: Any, tensors: Mapping[str, Tensor], parts: ModelParts) -> None:
        super().__init__()
        self.dtype = tensors[WORDS].dtype
        self.embeddings = Embeddings(tensors, parts, pad_id=pad_id(config))
        self.layers = nn.ModuleList(Layer(i, config, tensors, parts) for i in range(config.num_hidden_layers))
        self.compiles_per_length = compiles_per_length(self.layers)
        self.norm = wide_norm("encoder.LayerNorm", tensors, config.layer_norm_eps)

    @property
    def words(self) -> nn.Module:
        """The word embedding, which a decoder may share."""
        return self.embeddings.words

    @property
    def n_layers(self) -> int:
        """The number of layers."""
        return len(self.layers)

    def forward(self, pack: Pack, trace: Trace | None = None) -> Tensor:
        """Return the normalized states [tokens, width] of the last layer, in the dtype of the layers."""
        states = self.embeddings(pack)
        states = with_padding_rows(states) if self.compiles_per_length and trace is None else states
        for number, layer in enumerate(self.layers):
            pack.run_between(number)
            if trace is not None:
                trace.record_states(number, states)
            states = layer(states, pack, trace)
        states = self.norm(states).to(self.dtype)
        if trace is not None:
            trace.record_states(self.n_layers, states)
        return torch.as_tensor(states[: len(pack.ids)])


def build_encoder(config: Any, tensors: Mapping[str, Tensor], parts: ModelParts) -> Encoder:
    """Make an encoder from tensors named as in XLMRobertaXLModel. It keeps their dtype and device."""
    return Encoder(config, tensors, parts).eval()


def check_config(raw: Mapping[str, Any], *, is_known: bool = False) -> Any:
    """Return the configuration of a checkpoint that we can serve exactly. `raw` is its config.json.

    `is_known` says that transformers has read it before. Raises CheckpointError that names the setting for which our
    answers would be wrong.
    """
    config = parse_config("XLMRobertaXLConfig", raw, ONLY, is_known=is_known)
    check_roberta(config)
    return config


def expected_shapes(config: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of every backbone tensor by its name in XLMRobertaXLModel."""
    shapes = embedding_shapes(config) | norm_shapes("encoder.LayerNorm", config.hidden_size)
    for index in range(config.num_hidden_layers):
        layer = f"encoder.layer.{index}"
        shapes |= layer_shapes(layer, config)
        shapes |= norm_shapes(f"{layer}.attention.self_attn_layer_norm", config.hidden_size)
        shapes |= norm_shapes(f"{layer}.LayerNorm", config.hidden_size)
    return shapes
