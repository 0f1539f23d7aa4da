"""The interface of a model family, and of the encoder that it builds.

This module must not know a family or its layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from serve.layers.heads import Head
from serve.layers.parts import ModelParts
from serve.layers.trace import Trace
from serve.models.checkpoint_heads import Shapes
from serve.rows.backbone_limits import BackboneLimits
from serve.rows.generation import Rules
from serve.rows.pack import Pack
from shared.catalog import Family as FamilyName
from shared.catalog import Head as CatalogHead

Tensors = Mapping[str, torch.Tensor]


class Encoder(Protocol):
    """A backbone over packed rows."""

    @property
    def n_layers(self) -> int:
        """The number of layers."""
        ...

    @property
    def words(self) -> nn.Module:
        """The word embedding, which a decoder may share."""
        ...

    def __call__(self, pack: Pack, trace: Trace | None = None) -> torch.Tensor:
        """Return the states [tokens, width] after the last layer, in the dtype of the layers.

        It reads `pack.ids`, `pack.spans`, and the language, type and position ids of rows that have them. It records
        the states 0 (they enter the first layer) to `n_layers` (they are returned) in `trace`.
        """
        ...


class Family(Protocol):
    """What the module of a family offers. `config` is the result of its own `check_config`."""

    FAMILY: FamilyName
    PREFIX: str  # prefix of backbone tensors in checkpoints that have a head
    WORDS: str  # name of the word embedding, without the prefix
    UNUSED: tuple[str, ...]  # backbone tensors that some checkpoints store and no answer needs
    OTHER_HEADS: tuple[str, ...]  # prefixes of head tensors

    def check_config(self, raw: Mapping[str, Any], *, is_known: bool = False) -> Any:
        """Return the configuration in a config.json; `is_known` says that transformers has read it before.

        Raises CheckpointError that names what we cannot answer exactly.
        """

    def max_tokens(self, config: Any) -> int:
        """Return the number of tokens of the longest row, special tokens included."""

    def pad_id(self, config: Any) -> int:
        """Return the id of the padding token."""

    def vocab_size(self, config: Any) -> int:
        """Return the number of word embeddings."""

    def width(self, config: Any) -> int:
        """Return the width of a hidden state."""

    def is_causal(self, config: Any) -> bool:
        """Say whether a token sees only itself and the tokens before it."""

    def lang2id(self, config: Any) -> dict[str, int]:
        """Return the ids of the languages that a row may name; empty if it may name none."""

    def rules(self, config: Any) -> Rules:
        """Return the rules by which the model continues texts."""

    def backbone_limits(self, config: Any) -> BackboneLimits:
        """Return the limits that the backbone sets for rows."""

    def expected_shapes(self, config: Any) -> dict[str, tuple[int, ...]]:
        """Return the shape of every backbone tensor by its name in `transformers`, without prefix."""

    def computed(self, config: Any) -> tuple[str, ...]:
        """Return the backbone tensors that a checkpoint may lack, because `build_encoder` computes them."""

    def find_heads(self, folder: Path, config: Any, shapes: Shapes) -> dict[str, CatalogHead]:
        """Return the heads that a checkpoint holds by name. `embed` is always there."""

    def head_shapes(self, head: CatalogHead, found: Shapes, config: Any) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor that a head reads, by its name in the checkpoint."""

    def build_encoder(self, config: Any, tensors: Tensors, parts: ModelParts) -> Encoder:
        """Make the backbone from reference tensors without prefix. It keeps their dtype and device."""

    def build_head(self, head: CatalogHead, tensors: Tensors, words: nn.Module, config: Any, parts: ModelParts) -> Head:
        """Make a head from checkpoint tensors. `words` is the word embedding of the encoder."""
