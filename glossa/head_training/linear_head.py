"""Loads the head of this folder with transformers: one linear layer on the pooled states of the backbone.

    from linear_head import LinearHead
    head = LinearHead.from_folder("path/to/this/folder")
    print(head.labels_of(["a text", "another one"]))

`glossa head train --kind linear` writes this file beside the weights. It needs torch, transformers and safetensors, and
nothing else of Glossa.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

UNUSED = "pooler."  # a layer of the class that this head does not read


class LinearHead(nn.Module):
    """A backbone, the pooling of its states, and one linear layer. `labels` are in the order of the logits."""

    def __init__(self, backbone: Any, layer: nn.Linear, labels: Sequence[str], pooling: str) -> None:
        super().__init__()
        self.backbone, self.layer, self.labels, self.pooling = backbone, layer, tuple(labels), pooling
        self.tokenizer: Any = None

    @classmethod
    def from_folder(cls, folder: str | Path, dtype: torch.dtype = torch.float32) -> LinearHead:
        """Load backbone, head and tokenizer of a folder. Raises ValueError when the backbone is not whole."""
        place = Path(folder)
        facts = next(iter(json.loads((place / "heads.json").read_text(encoding="utf-8")).values()))
        tensors = load_file(place / "head.safetensors")
        weight, bias = (tensors[f"{facts['prefix']}.{part}"] for part in ("weight", "bias"))
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        layer.load_state_dict({"weight": weight, "bias": bias})
        backbone = _backbone(place, dtype)
        head = cls(backbone, layer.to(dtype), facts["labels"], facts.get("pooling", "mean")).eval()
        reader: Any = AutoTokenizer
        head.tokenizer = reader.from_pretrained(str(place), local_files_only=True)
        return head

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **others: Any) -> Tensor:
        """Return logits [texts, labels] of padded ids [texts, tokens]. Special tokens count, padding does not."""
        states = self.backbone(input_ids=input_ids, attention_mask=attention_mask, **others).last_hidden_state
        is_token = attention_mask[:, :, None].to(states.dtype)
        if self.pooling == "cls":
            pooled = states[:, 0]
        elif self.pooling == "max":
            pooled = states.masked_fill(is_token == 0, -torch.inf).amax(1)
        else:
            pooled = (states * is_token).sum(1) / is_token.sum(1)
        logits: Tensor = self.layer(pooled)
        return logits

    @torch.no_grad()
    def labels_of(self, texts: Sequence[str]) -> list[str]:
        """Return the likeliest label of each text, which is cut to the longest row of the model."""
        encoded = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        return [self.labels[at] for at in self(**encoded).argmax(-1).tolist()]


def _backbone(folder: Path, dtype: torch.dtype) -> Any:
    """Load the backbone. transformers' report is not printed: it warns of the pooler and of other heads."""
    auto: Any = AutoModel  # transformers has no types for it
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call] # transformers has no types for it
    try:
        backbone, info = auto.from_pretrained(str(folder), dtype=dtype, local_files_only=True, output_loading_info=True)
    finally:
        logging.set_verbosity(verbosity)
    missing = sorted(name for name in info["missing_keys"] if not name.startswith(UNUSED))
    if missing:
        raise ValueError(f"{folder} has no tensor {missing[0]}, expected all of the backbone; copy the whole folder")
    return backbone
