"""XLM-RoBERTa and XLM-V: a packed encoder over the weights of `transformers` checkpoints.

It follows XLMRobertaModel of `transformers` (Conneau et al. 2019). XLM-V (Liang et al. 2023) is the same architecture
with a larger vocabulary. This module must not know files or how rows were chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from serve.checkpoints.read import CheckpointError
from serve.layers.attention import Attention
from serve.layers.embeddings import EmbeddingTables
from serve.layers.norms import norm_of
from serve.layers.parts import ModelParts
from serve.layers.trace import Trace
from serve.models.config_checks import check_sizes, listed_ids, parse_config
from serve.models.named_tensors import joined_linears, norm_shapes, weight_and_bias
from serve.models.post_norm import PostNormLayers, PostNormShape, PostNormTensors
from serve.models.roberta_heads import PREFIX, WORDS, build_head, find_heads, head_shapes
from serve.rows.backbone_limits import BackboneLimits
from serve.rows.generation import Rules
from serve.rows.pack import ABSENT, Pack
from shared.catalog import Family

__all__ = [
    "PREFIX",
    "WORDS",
    "build_head",
    "find_heads",
    "head_shapes",
]  # the heads of this family, as family.Family names them

FAMILY: Family = "xlm-roberta"
POSITIONS = "embeddings.position_embeddings.weight"
TYPES = "embeddings.token_type_embeddings.weight"
UNUSED = ("embeddings.position_ids", "embeddings.token_type_ids", "pooler.dense.weight", "pooler.dense.bias")
OTHER_HEADS = ("classifier.", "lm_head.", "qa_outputs.", "heads.", "sparse_linear.")
ONLY: Mapping[str, object] = {
    "position_embedding_type": "absolute", "hidden_act": "gelu", "embedding_size": None,
}  # fmt: skip
POSITIVE = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "max_position_embeddings", "type_vocab_size",
)  # fmt: skip


class Embeddings(nn.Module):
    """The sum of word, position and token type embeddings, in float32 for every dtype of the layers.

    Tokens without a type have type 0. Its embedding is added to the position table in advance, and the type table holds
    the differences from it. Type 0 therefore adds exactly nothing.
    """

    def __init__(self, tensors: Mapping[str, Tensor], parts: ModelParts, *, pad_id: int) -> None:
        """Take the tables of a checkpoint. Positions count from `pad_id` + 1; with NO_PAD from 0."""
        super().__init__()
        self.pad_id = pad_id
        self.count_positions = parts.positions
        self.words = parts.embedding("words", tensors[WORDS])
        types = tensors[TYPES].float()
        self.register_buffer("position_table", tensors[POSITIONS].float() + types[0])
        self.register_buffer("type_table", types - types[0])

    def forward(self, pack: Pack) -> Tensor:
        """Return the sums float32 [tokens, width]. Position ids of a row replace the counted ones."""
        counted = self.count_positions(pack.ids, pack.spans, self.pad_id)
        given = pack.position_ids
        positions = counted if given is None else torch.where(given == ABSENT, counted, given)
        sums = self.words(pack.ids).float() + self.get_buffer("position_table")[positions]
        if pack.token_type_ids is not None:
            sums = sums + self.get_buffer("type_table")[pack.token_type_ids.clamp(min=0)]
        return torch.as_tensor(sums)


class Encoder(nn.Module):
    """The backbone: packed ids [tokens] to states [tokens, width]. Embeddings are normalized in float32."""

    def __init__(self, config: Any, tensors: Mapping[str, Tensor], parts: ModelParts, *, pad_id: int) -> None:
        """Make the layers of a checkpoint. Positions count from `pad_id` + 1; with NO_PAD from 0."""
        super().__init__()
        self.dtype = tensors[WORDS].dtype
        self.embeddings = Embeddings(tensors, parts, pad_id=pad_id)
        self.norm = wide_norm("embeddings.LayerNorm", tensors, config.layer_norm_eps)
        self._embed = parts.embed(self._tables(config.layer_norm_eps))
        shape = PostNormShape(
            attention(config, parts), config.num_attention_heads, parts.activate, config.layer_norm_eps
        )
        layers = [layer_tensors(index, tensors) for index in range(config.num_hidden_layers)]
        self.layers = PostNormLayers(shape, layers, parts)

    def _tables(self, eps: float) -> EmbeddingTables:
        """Return the tables from which the states of the first layer are made."""
        own = self.embeddings
        positions, types = own.get_buffer("position_table"), own.get_buffer("type_table")
        return EmbeddingTables(own.words, positions, types, self.norm.weight, self.norm.bias, eps, own.pad_id)

    @property
    def words(self) -> nn.Module:
        """The word embedding, which a decoder may share."""
        return self.embeddings.words

    @property
    def n_layers(self) -> int:
        """The number of layers."""
        return len(self.layers)

    def forward(self, pack: Pack, trace: Trace | None = None) -> Tensor:
        """Return the states [tokens, width] of the last layer, in the dtype of the layers."""
        states = self._embed(pack) if self._embed else self.norm(self.embeddings(pack)).to(self.dtype)
        return torch.as_tensor(self.layers(states, pack, trace))


def build_encoder(config: Any, tensors: Mapping[str, Tensor], parts: ModelParts) -> Encoder:
    """Make an encoder from tensors named as in XLMRobertaModel. It keeps their dtype and device."""
    return Encoder(config, tensors, parts, pad_id=pad_id(config)).eval()


def check_config(raw: Mapping[str, Any], *, is_known: bool = False) -> Any:
    """Return the configuration of a checkpoint that we can serve exactly. `raw` is its config.json.

    `is_known` says that transformers has read it before. Raises CheckpointError that names the setting for which our
    answers would be wrong.
    """
    config = parse_config("XLMRobertaConfig", raw, ONLY, is_known=is_known)
    check_roberta(config)
    return config


def check_roberta(config: Any) -> None:
    """Raise CheckpointError when sizes or the pad id of a configuration are impossible."""
    check_sizes(config, POSITIVE)
    if not 0 <= pad_id(config) < config.vocab_size:
        raise CheckpointError(f"config.json has pad_token_id = {config.pad_token_id}, expected one of the vocabulary")


def max_tokens(config: Any) -> int:
    """Return the length of the longest row, special tokens included: positions start after that of the pad id."""
    return int(config.max_position_embeddings - pad_id(config) - 1)


def pad_id(config: Any) -> int:
    """Return the pad id of a checked configuration. Raises CheckpointError when it has none."""
    if config.pad_token_id is None:
        raise CheckpointError("config.json has no pad_token_id, expected one: positions are counted from it")
    return int(config.pad_token_id)


def vocab_size(config: Any) -> int:
    """Return the number of word embeddings."""
    return int(config.vocab_size)


def width(config: Any) -> int:
    """Return the width of a hidden state."""
    return int(config.hidden_size)


def is_causal(config: Any) -> bool:
    """Say whether a token sees only itself and the tokens before it."""
    return bool(config.is_decoder)


def lang2id(config: Any) -> dict[str, int]:  # noqa: ARG001 - other families have some
    """Return no languages: this family reads none."""
    return {}


def computed(config: Any) -> tuple[str, ...]:  # noqa: ARG001 - other families have some
    """Return no tensors: checkpoints of this family store all of them."""
    return ()


def rules(config: Any) -> Rules:
    """Return the rules by which a model of this configuration continues texts."""
    return Rules(eos_ids=frozenset(listed_ids(config.eos_token_id)))


def backbone_limits(config: Any) -> BackboneLimits:
    """Return the limits that a backbone of this configuration sets for rows."""
    return BackboneLimits(
        n_layers=config.num_hidden_layers,
        n_heads=config.num_attention_heads,
        width=config.hidden_size,
        n_types=config.type_vocab_size,
        n_positions=config.max_position_embeddings,
    )


def expected_shapes(config: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of every backbone tensor by its name in XLMRobertaModel."""
    shapes = embedding_shapes(config) | norm_shapes("embeddings.LayerNorm", config.hidden_size)
    for index in range(config.num_hidden_layers):
        layer = f"encoder.layer.{index}"
        shapes |= layer_shapes(layer, config)
        shapes |= norm_shapes(f"{layer}.attention.output.LayerNorm", config.hidden_size)
        shapes |= norm_shapes(f"{layer}.output.LayerNorm", config.hidden_size)
    return shapes


def embedding_shapes(config: Any) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the three embedding tables."""
    return {
        WORDS: (config.vocab_size, config.hidden_size),
        POSITIONS: (config.max_position_embeddings, config.hidden_size),
        TYPES: (config.type_vocab_size, config.hidden_size),
    }


def layer_tensors(index: int, tensors: Mapping[str, Tensor]) -> PostNormTensors:
    """Return the tensors of one layer."""
    layer = f"encoder.layer.{index}"
    return PostNormTensors(
        qkv=qkv_tensors(layer, tensors),
        mix=weight_and_bias(f"{layer}.attention.output.dense", tensors),
        mix_norm=weight_and_bias(f"{layer}.attention.output.LayerNorm", tensors),
        up=weight_and_bias(f"{layer}.intermediate.dense", tensors),
        down=weight_and_bias(f"{layer}.output.dense", tensors),
        down_norm=weight_and_bias(f"{layer}.output.LayerNorm", tensors),
    )


def layer_shapes(layer: str, config: Any) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the linear tensors of one layer."""
    wide, inner = config.hidden_size, config.intermediate_size
    named = {f"{layer}.attention.self.{part}": (wide, wide) for part in ("query", "key", "value")}
    named |= {f"{layer}.attention.output.dense": (wide, wide)}
    named |= {f"{layer}.intermediate.dense": (inner, wide), f"{layer}.output.dense": (wide, inner)}
    weights: dict[str, tuple[int, ...]] = {f"{name}.weight": shape for name, shape in named.items()}
    return weights | {f"{name}.bias": shape[:1] for name, shape in named.items()}


def attention(config: Any, parts: ModelParts) -> Attention:
    """Return the attention of the layers of a configuration."""
    head_width = config.hidden_size // config.num_attention_heads
    return Attention(parts.attend, float(head_width**-0.5), causal=is_causal(config))


def qkv_tensors(layer: str, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return weight [3 * width, width] and bias of queries, keys and values of one layer, concatenated."""
    return joined_linears([f"{layer}.attention.self.{part}" for part in ("query", "key", "value")], tensors)


def wide_norm(name: str, tensors: Mapping[str, Tensor], eps: float) -> nn.LayerNorm:
    """Return a LayerNorm of the reference that computes in float32."""
    weight, bias = weight_and_bias(name, tensors)
    return norm_of(weight.float(), bias.float(), eps)
