"""XLM-RoBERTa and XLM-V: the packed encoder over the reference's weights.

Follows `transformers` XLMRobertaModel (Conneau et al. 2019; XLM-V: Liang et al. 2023, the same
architecture with a larger vocabulary). Must not know heads, files or how rows were chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor, nn
from transformers import XLMRobertaConfig

from serve.attention import Attend, attend_runs
from serve.pack import Spans
from serve.weights import CheckpointError

FAMILY = "xlm-roberta"
WORDS = "embeddings.word_embeddings.weight"
UNUSED = ("embeddings.position_ids", "embeddings.token_type_ids", "pooler.dense.weight", "pooler.dense.bias")


def reference_positions(ids: Tensor, spans: Spans, pad_id: int) -> Tensor:
    """Return position ids int64 [tokens] as create_position_ids_from_input_ids computes them row by row.

    Positions count from pad_id + 1; a pad id inside a text has position pad_id and is not counted.
    """
    counted = ids.ne(pad_id).long()
    seen = counted.cumsum(0)
    before = seen - counted
    return (seen - before[spans.bounds[:-1].long()][spans.row_of_token]) * counted + pad_id


@dataclass(frozen=True, slots=True)
class Parts:
    """The functions an encoder is made of; tests plant their faults here."""

    attend: Attend = attend_runs
    positions: Callable[[Tensor, Spans, int], Tensor] = reference_positions
    activate: Callable[[Tensor], Tensor] = F.gelu


class Layer(nn.Module):
    """One post-norm transformer layer on packed states [tokens, width]; queries, keys and values in one product."""

    def __init__(self, config: XLMRobertaConfig, parts: Parts) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.n_heads = config.num_attention_heads
        self.scale = float((width // self.n_heads) ** -0.5)
        self.parts = parts
        self.qkv = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.mix_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)
        self.down_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, states: Tensor, spans: Spans) -> Tensor:
        """Return the states after this layer, [tokens, width]."""
        qkv = self.qkv(states).view(states.shape[0], 3, self.n_heads, -1)
        states = self.mix_norm(states + self.mix(self.parts.attend(qkv, spans, self.scale)))
        return torch.as_tensor(self.down_norm(states + self.down(self.parts.activate(self.up(states)))))


class Encoder(nn.Module):
    """The backbone: packed ids [tokens] to states [tokens, width].

    Embeddings are summed and normalised in float32 whatever the dtype of the layers; token type
    0, the only one this family uses, is folded into the positions.
    """

    def __init__(self, config: XLMRobertaConfig, parts: Parts) -> None:
        super().__init__()
        self.pad_id = pad_id(config)
        self.parts = parts
        self.words = nn.Embedding(config.vocab_size, config.hidden_size)
        self.places = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.layers = nn.ModuleList(Layer(config, parts) for _ in range(config.num_hidden_layers))

    def forward(self, ids: Tensor, spans: Spans) -> Tensor:
        """Return the last layer's states, in the dtype of the layers."""
        places = self.places(self.parts.positions(ids, spans, self.pad_id))
        states = self.norm(self.words(ids) + places).to(self.words.weight.dtype)
        for layer in self.layers:
            states = layer(states, spans)
        return torch.as_tensor(states)


def build_encoder(config: XLMRobertaConfig, tensors: Mapping[str, Tensor], parts: Parts) -> Encoder:
    """Make an encoder of reference tensors, named as in XLMRobertaModel; it keeps their dtype and device."""
    with torch.device("meta"):
        encoder = Encoder(config, parts)
    encoder.load_state_dict(_ours(config, tensors), assign=True)
    return encoder.requires_grad_(requires_grad=False).eval()


def check_config(raw: Mapping[str, Any]) -> XLMRobertaConfig:
    """Return the configuration of a checkpoint we can serve exactly.

    `raw` is its config.json. Raises CheckpointError naming each setting we would answer wrongly for.
    """
    if raw.get("model_type") != FAMILY:
        raise CheckpointError(f"got model_type {raw.get('model_type')!r}, expected {FAMILY!r}")
    if "auto_map" in raw:
        raise CheckpointError("config.json asks for remote code (auto_map), which is never run")
    for name, only in _ONLY.items():
        if raw.get(name, only) != only:
            raise CheckpointError(f"config.json has {name} = {raw[name]!r}, expected {only!r}")
    try:
        config = XLMRobertaConfig.from_dict(dict(raw))
    except Exception as error:  # noqa: BLE001 - however the library fails to read it, it is refused
        raise CheckpointError(f"config.json cannot be read: {error}") from None
    for name in _POSITIVE:
        if getattr(config, name) < 1:
            raise CheckpointError(f"config.json has {name} = {getattr(config, name)}, expected at least 1")
    if config.hidden_size % config.num_attention_heads:
        raise CheckpointError(f"got {config.num_attention_heads} heads, expected a divisor of {config.hidden_size}")
    if not 0 <= pad_id(config) < config.vocab_size:
        raise CheckpointError(f"config.json has pad_token_id = {config.pad_token_id}, expected one of the vocabulary")
    return config


def max_tokens(config: XLMRobertaConfig) -> int:
    """Return the longest row, special tokens included: positions start after the pad id's."""
    return int(config.max_position_embeddings - pad_id(config) - 1)


def pad_id(config: XLMRobertaConfig) -> int:
    """Return the pad id of a checked configuration."""
    if config.pad_token_id is None:
        raise CheckpointError("config.json has no pad_token_id, expected one: positions are counted from it")
    return config.pad_token_id


def expected_shapes(config: XLMRobertaConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of every backbone tensor by its name in XLMRobertaModel."""
    width, inner = config.hidden_size, config.intermediate_size
    shapes: dict[str, tuple[int, ...]] = {
        WORDS: (config.vocab_size, width),
        "embeddings.position_embeddings.weight": (config.max_position_embeddings, width),
        "embeddings.token_type_embeddings.weight": (config.type_vocab_size, width),
        **_norm("embeddings.LayerNorm", width),
    }
    for index in range(config.num_hidden_layers):
        layer = f"encoder.layer.{index}"
        for part in ("query", "key", "value"):
            shapes |= _linear(f"{layer}.attention.self.{part}", width, width)
        shapes |= _linear(f"{layer}.attention.output.dense", width, width)
        shapes |= _norm(f"{layer}.attention.output.LayerNorm", width)
        shapes |= _linear(f"{layer}.intermediate.dense", inner, width)
        shapes |= _linear(f"{layer}.output.dense", width, inner)
        shapes |= _norm(f"{layer}.output.LayerNorm", width)
    return shapes


_ONLY: Mapping[str, object] = {
    "is_decoder": False, "add_cross_attention": False, "position_embedding_type": "absolute",
    "hidden_act": "gelu", "quantization_config": None, "embedding_size": None,
}  # fmt: skip
_POSITIVE = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "max_position_embeddings", "type_vocab_size",
)  # fmt: skip


def _ours(config: XLMRobertaConfig, theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename reference tensors to ours, fusing queries, keys and values."""
    embeddings = {
        "words.weight": theirs[WORDS],
        "places.weight": theirs["embeddings.position_embeddings.weight"].float()
        + theirs["embeddings.token_type_embeddings.weight"][0].float(),
        "norm.weight": theirs["embeddings.LayerNorm.weight"].float(),
        "norm.bias": theirs["embeddings.LayerNorm.bias"].float(),
    }
    layers = [_our_layer(f"encoder.layer.{i}.", f"layers.{i}.", theirs) for i in range(config.num_hidden_layers)]
    return {name: tensor for part in (embeddings, *layers) for name, tensor in part.items()}


def _our_layer(their_name: str, our_name: str, theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = {
        "mix": "attention.output.dense", "mix_norm": "attention.output.LayerNorm",
        "up": "intermediate.dense", "down": "output.dense", "down_norm": "output.LayerNorm",
    }  # fmt: skip
    layer = {}
    for kind in ("weight", "bias"):
        fused = [theirs[f"{their_name}attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
        layer[f"{our_name}qkv.{kind}"] = torch.cat(fused)
        layer |= {f"{our_name}{ours}.{kind}": theirs[f"{their_name}{name}.{kind}"] for ours, name in names.items()}
    return layer


def _linear(name: str, out_width: int, in_width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out_width, in_width), f"{name}.bias": (out_width,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
