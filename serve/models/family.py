"""Packed encoders over the reference weights, one file per family, behind one interface."""

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
        """The word embedding, to which a decoder may be tied."""
        ...

    def __call__(self, pack: Pack, trace: Trace | None = None) -> torch.Tensor:
        """Return the states [tokens, width] that the last layer leaves, in the dtype of the layers.

        Reads `pack.ids`, `pack.spans`, and the language, type and position ids of rows that have them. Tells
        `trace` the states numbered 0 (what enters the first layer) to `n_layers` (what is returned).
        """
        ...


class Family(Protocol):
    """What a module of this package offers. `config` is what its own `check_config` returned."""

    FAMILY: FamilyName
    PREFIX: str  # before backbone tensors in checkpoints with a head
    WORDS: str  # the word embedding, without that prefix
    UNUSED: tuple[str, ...]  # backbone tensors that some checkpoints store and no answer needs
    OTHER_HEADS: tuple[str, ...]  # how the names of head tensors begin

    def check_config(self, raw: Mapping[str, Any]) -> Any:
        """Return the configuration that a config.json says; CheckpointError by name for what we cannot answer."""

    def max_tokens(self, config: Any) -> int:
        """Return the longest row, special tokens included."""

    def pad_id(self, config: Any) -> int:
        """Return the pad id."""

    def vocab_size(self, config: Any) -> int:
        """Return the number of word embeddings."""

    def width(self, config: Any) -> int:
        """Return the width of a state."""

    def is_causal(self, config: Any) -> bool:
        """Say whether a token sees only itself and those before it."""

    def lang2id(self, config: Any) -> dict[str, int]:
        """Return the ids of the languages a row may name; empty where it may name none."""

    def rules(self, config: Any) -> Rules:
        """Return how the model continues texts."""

    def bounds(self, config: Any) -> BackboneLimits:
        """Return what a row may ask of the backbone."""

    def expected_shapes(self, config: Any) -> dict[str, tuple[int, ...]]:
        """Return the shape of every backbone tensor by its reference name, without prefix."""

    def computed(self, config: Any) -> tuple[str, ...]:
        """Return the backbone tensors that a checkpoint may lack: `build_encoder` makes them of the configuration."""

    def find_heads(self, folder: Path, config: Any, shapes: Shapes) -> dict[str, CatalogHead]:
        """Return the heads that a checkpoint holds; `embed` is always there."""

    def head_shapes(self, head: CatalogHead, found: Shapes, config: Any) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor a head reads, by its name in the checkpoint."""

    def build_encoder(self, config: Any, tensors: Tensors, parts: ModelParts) -> Encoder:
        """Make the backbone of reference tensors without prefix; it keeps their dtype and device."""

    def build_head(self, head: CatalogHead, tensors: Tensors, words: nn.Module, config: Any, parts: ModelParts) -> Head:
        """Make a head of checkpoint tensors; `words` is the encoder's word embedding."""
