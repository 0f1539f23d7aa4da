"""XLM: a packed encoder over the weights of `transformers` checkpoints, with every option of its configuration.

It follows XLMModel of `transformers` (Lample and Conneau 2019) as an encoder of unpadded rows. This module must not
know files, what the heads compute, or how rows were chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor, nn

from serve.checkpoints.read import CheckpointError
from serve.layers.attention import Attention
from serve.layers.norms import norm_of
from serve.layers.parts import ModelParts, embedding_of
from serve.layers.trace import Trace
from serve.models.config_checks import check_sizes, listed_ids, parse_config
from serve.models.named_tensors import joined_linears, linear_shapes, norm_shapes, weight_and_bias
from serve.models.post_norm import PostNormLayers, PostNormShape, PostNormTensors
from serve.models.xlm.heads import OTHER_HEADS, WORDS, build_head, find_heads, head_shapes
from serve.rows.backbone_limits import BackboneLimits
from serve.rows.generation import Rules
from serve.rows.pack import ABSENT, Pack
from shared.catalog import Family

__all__ = ["OTHER_HEADS", "WORDS", "build_head", "find_heads", "head_shapes"]  # family.Family names them

FAMILY: Family = "xlm"
PREFIX = "transformer."
POSITIONS = "position_embeddings.weight"
LANGS = "lang_embeddings.weight"
UNUSED = ("position_ids", LANGS)  # checkpoints may store a language table that the configuration says not to read


class Encoder(nn.Module):
    """The backbone: packed rows to states [tokens, width].

    The embedding of a token is a sum, made and normalized in float32. It has up to four parts:

    - its word
    - its position, counted or given in `position_ids`
    - its language, if the row names one and the model reads languages
    - the *word* embedding of its token type, if the row has types, as in the reference
    """

    def __init__(self, config: Any, tensors: Mapping[str, Tensor], parts: ModelParts) -> None:
        super().__init__()
        self.dtype = tensors[WORDS].dtype
        self.words = parts.embedding("words", tensors[WORDS])
        positions = (
            tensors[POSITIONS] if POSITIONS in tensors else sinusoids(config).to(self.dtype).to(tensors[WORDS].device)
        )
        self.positions = embedding_of("positions", positions.float())
        self.langs = embedding_of("langs", tensors[LANGS].float()) if reads_langs(config) else None
        scale, shift = weight_and_bias("layer_norm_emb", tensors)
        self.norm = norm_of(scale.float(), shift.float(), config.layer_norm_eps)
        shape = PostNormShape(
            Attention(parts.attend, float((config.emb_dim // config.n_heads) ** -0.5), config.causal),
            config.n_heads,
            parts.activate if config.gelu_activation else F.relu,
            config.layer_norm_eps,
        )
        self.layers = PostNormLayers(shape, [_layer_tensors(i, tensors) for i in range(config.n_layers)], parts)

    @property
    def n_layers(self) -> int:
        """The number of layers."""
        return len(self.layers)

    def forward(self, pack: Pack, trace: Trace | None = None) -> Tensor:
        """Return the states [tokens, width] of the last layer, in the dtype of the layers."""
        summed = self.words(pack.ids).float() + self.positions(_positions(pack))
        if pack.lang_ids is not None and self.langs is not None:
            summed = summed + _where_given(self.langs, pack.lang_ids)
        if pack.token_type_ids is not None:
            summed = summed + _where_given(self.words, pack.token_type_ids)
        states = self.norm(summed).to(self.dtype)
        return torch.as_tensor(self.layers(states, pack, trace))


def build_encoder(config: Any, tensors: Mapping[str, Tensor], parts: ModelParts) -> Encoder:
    """Make an encoder from tensors named as in XLMModel. It keeps their dtype and device."""
    return Encoder(config, tensors, parts).requires_grad_(requires_grad=False).eval()


def check_config(raw: Mapping[str, Any], *, is_known: bool = False) -> Any:
    """Return the configuration of a checkpoint that we can serve exactly. `raw` is its config.json.

    `is_known` says that transformers has read it before. Raises CheckpointError that names the setting for which our
    answers would be wrong, or for which the reference fails. Settings that only a head reads (`summary_type`,
    `asm_cutoffs`) are checked with that head.
    """
    config = parse_config("XLMConfig", raw, _ONLY, is_known=is_known)
    check_sizes(config, _POSITIVE)
    if not 0 <= pad_id(config) < config.vocab_size:
        raise CheckpointError(f"config.json has pad_index = {config.pad_token_id}, expected one of the vocabulary")
    lang2id(config)
    return config


def computed(config: Any) -> tuple[str, ...]:
    """Return the backbone tensors that a checkpoint may lack, because the configuration determines them."""
    return (POSITIONS,) if config.sinusoidal_embeddings else ()


def sinusoids(config: Any) -> Tensor:
    """Return the sinusoidal positions float32 [positions, width] of Vaswani et al. 2017, as the reference makes them.

    Column 2i is the sine of position / 10000^(2i / width); column 2i + 1 is the cosine.
    """
    columns = torch.arange(config.emb_dim, dtype=torch.float64) // 2 * 2 / config.emb_dim
    angles = torch.arange(config.max_position_embeddings, dtype=torch.float64)[:, None] / 10_000**columns
    table: Tensor = angles.sin()
    table[:, 1::2] = angles[:, 1::2].cos()
    return table.float()


def max_tokens(config: Any) -> int:
    """Return the length of the longest row, special tokens included: positions start at 0."""
    return int(config.max_position_embeddings)


def pad_id(config: Any) -> int:
    """Return the pad id of a configuration. Raises CheckpointError when it has none."""
    if config.pad_token_id is None:
        raise CheckpointError("config.json has no pad_index, expected one")
    return int(config.pad_token_id)


def vocab_size(config: Any) -> int:
    """Return the number of word embeddings."""
    return int(config.vocab_size)


def width(config: Any) -> int:
    """Return the width of a hidden state."""
    return int(config.emb_dim)


def is_causal(config: Any) -> bool:
    """Say whether a token sees only itself and the tokens before it."""
    return bool(config.causal)


def reads_langs(config: Any) -> bool:
    """Say whether language ids change the answers. The reference has no table when there is one language."""
    return bool(config.use_lang_emb and config.n_langs > 1)


def lang2id(config: Any) -> dict[str, int]:
    """Return the language names of a checkpoint with their ids. Raises CheckpointError for an impossible id."""
    named = getattr(config, "lang2id", None) or {}
    if not isinstance(named, Mapping):
        raise CheckpointError(f"config.json has lang2id = {named!r}, expected languages with their ids")
    for lang, index in named.items():
        if type(index) is not int or not 0 <= index < config.n_langs:
            raise CheckpointError(f"config.json has lang2id {lang} = {index!r}, expected 0 <= id < {config.n_langs}")
    return {str(lang): index for lang, index in named.items()}


def rules(config: Any) -> Rules:
    """Return the rules by which a model continues texts.

    It predicts the token at a mask that it appends, in the language of the configuration.
    """
    return Rules(
        eos_ids=frozenset(listed_ids(config.eos_token_id)),
        mask_id=config.mask_token_id,
        lang_id=config.lang_id if reads_langs(config) else 0,
        zeroed_id=config.pad_token_id,
    )


def backbone_limits(config: Any) -> BackboneLimits:
    """Return the limits that a backbone of this configuration sets for rows. Token types are word ids."""
    return BackboneLimits(
        n_layers=config.n_layers,
        n_heads=config.n_heads,
        width=config.emb_dim,
        n_types=config.vocab_size,
        n_positions=config.max_position_embeddings,
        n_langs=config.n_langs,
    )


def expected_shapes(config: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of every backbone tensor by its name in XLMModel, including a sinusoidal table."""
    size, inner = config.emb_dim, 4 * config.emb_dim
    shapes: dict[str, tuple[int, ...]] = {
        WORDS: (config.vocab_size, size),
        POSITIONS: (config.max_position_embeddings, size),
        **norm_shapes("layer_norm_emb", size),
    }
    if reads_langs(config):
        shapes[LANGS] = (config.n_langs, size)
    for index in range(config.n_layers):
        for part in ("q_lin", "k_lin", "v_lin", "out_lin"):
            shapes |= linear_shapes(f"attentions.{index}.{part}", size, size)
        shapes |= norm_shapes(f"layer_norm1.{index}", size)
        shapes |= linear_shapes(f"ffns.{index}.lin1", inner, size)
        shapes |= linear_shapes(f"ffns.{index}.lin2", size, inner)
        shapes |= norm_shapes(f"layer_norm2.{index}", size)
    return shapes


_ONLY: Mapping[str, object] = {"is_encoder": True}
_POSITIVE = (
    "vocab_size", "emb_dim", "n_layers", "n_heads", "max_position_embeddings", "n_langs", "start_n_top", "end_n_top",
)  # fmt: skip


def _positions(pack: Pack) -> Tensor:
    """Return position ids int64 [tokens].

    They count from 0 in each row, pad ids included, unless the row has its own.
    """
    starts = pack.spans.cumulative_lengths[:-1].long()[pack.spans.row_of_token]
    counted = torch.arange(len(pack.ids), device=pack.ids.device) - starts
    if pack.position_ids is None:
        return counted
    return torch.where(pack.position_ids == ABSENT, counted, pack.position_ids)


def _where_given(table: nn.Module, ids: Tensor) -> Tensor:
    """Return the rows float32 [tokens, width] of a table, with zeros where the id is ABSENT."""
    return torch.as_tensor(table(ids.clamp(min=0))).float() * (ids != ABSENT)[:, None]


def _layer_tensors(index: int, tensors: Mapping[str, Tensor]) -> PostNormTensors:
    """Return the tensors of one layer."""
    return PostNormTensors(
        qkv=joined_linears([f"attentions.{index}.{part}_lin" for part in "qkv"], tensors),
        mix=weight_and_bias(f"attentions.{index}.out_lin", tensors),
        mix_norm=weight_and_bias(f"layer_norm1.{index}", tensors),
        up=weight_and_bias(f"ffns.{index}.lin1", tensors),
        down=weight_and_bias(f"ffns.{index}.lin2", tensors),
        down_norm=weight_and_bias(f"layer_norm2.{index}", tensors),
    )
