"""Makes the heads of a model: those in its checkpoint, and those that were trained apart and have files of their own.

The latter can be made at any time after the model was loaded, over the same backbone. It must not know rows, calls or
who asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from serve.checkpoints.fetch import fetch, fetch_head
from serve.checkpoints.head_files import check_head_shapes, read_head_tensors
from serve.layers.heads import Head
from serve.layers.parts import ModelParts
from serve.models.checkpoint_facts import read_config
from serve.models.family import Family
from shared.catalog import Head as CatalogHead
from shared.catalog import Model

ReadHead = Callable[[CatalogHead], Mapping[str, Tensor]]


def read_from(model: Model, root: Path, download_folder: Path | None = None) -> ReadHead:
    """Return a function that reads the tensors of a head of `model` with a checkpoint of its own, below `root`."""

    def read(head: CatalogHead) -> Mapping[str, Tensor]:
        folder = fetch_head(head.checkpoint, root, download_folder=download_folder)
        return read_head_tensors(folder, head.weights_sha256, model.weights_sha256)

    return read


@dataclass(frozen=True, slots=True)
class HeadMaker:
    """Makes heads over one loaded backbone. `words` is its word embedding, which a decoder may share."""

    family: Family
    config: Any
    words: nn.Module
    parts: ModelParts
    device: torch.device
    dtype: torch.dtype
    read: ReadHead

    def make(self, heads: Mapping[str, CatalogHead]) -> dict[str, Head]:
        """Make the heads that have checkpoints of their own. Raises CheckpointError when one does not fit."""
        return {name: self._make(name, head) for name, head in heads.items() if head.checkpoint}

    def _make(self, name: str, head: CatalogHead) -> Head:
        tensors = self.read(head)
        check_fit(name, head, tensors, self.family, self.config)
        placed = {each: tensor.to(self.device, self.dtype) for each, tensor in tensors.items()}
        return self.family.build_head(head, placed, self.words, self.config, self.parts)


def check_own_heads(model: Model, root: Path, download_folder: Path | None = None) -> None:
    """Raise CheckpointError unless each head with a checkpoint of its own fits its model, which is not loaded."""
    own = {name: head for name, head in model.heads.items() if head.checkpoint}
    if not own:
        return
    folder = fetch(model.checkpoint, root, download_folder=download_folder)
    family, config = read_config(folder, is_known=model.config_sha256 is not None)
    read = read_from(model, root, download_folder)
    for name, head in own.items():
        check_fit(name, head, read(head), family, config)


def check_fit(name: str, head: CatalogHead, tensors: Mapping[str, Tensor], family: Family, config: Any) -> None:
    """Raise CheckpointError unless the tensors are those that a model of this configuration reads for the head."""
    shapes = {each: tuple(tensor.shape) for each, tensor in tensors.items()}
    check_head_shapes(name, tensors, family.head_shapes(head, shapes, config))
