"""Faults to plant in an engine over a drawn checkpoint. Each changes one thing, and the judge must see it.

A fault takes everything that an engine is built from, with its rows, and returns it with one change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from transformers import PreTrainedModel

from serve.engine.engine import PackedEngine
from serve.engine.load_engine import build_engine
from serve.layers.attention import attend_sdpa
from serve.layers.parts import ModelParts
from serve.models.checkpoint_facts import check_tensors
from serve.models.registry import FAMILIES
from serve.rows.pack import Spans, reference_positions, spans_of
from serve.rows.row import Row
from shared.catalog import Model

CPU = torch.device("cpu")
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Build:
    """What an engine is built from, and the rows that it answers. A fault changes one part of it."""

    model: Model
    config: Any
    tensors: Tensors
    rows: Sequence[Row]
    parts: ModelParts

    def engine(self) -> PackedEngine:
        """Build the engine on the CPU."""
        return build_engine(self.model, self.config, self.tensors, device=CPU, parts=self.parts)


def build_of(reference: PreTrainedModel, model: Model, rows: Sequence[Row]) -> Build:
    """Return the build of a reference model without a fault: its own tensors, under the names that an engine reads."""
    stored = {name: tensor.detach() for name, tensor in reference.state_dict().items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in stored.items()}
    backbone, heads = check_tensors(shapes, FAMILIES[model.family], reference.config, model.heads.values())
    tensors = {backbone.get(name, name): stored[name] for name in backbone.keys() | heads}
    return Build(model, reference.config, tensors, rows, ModelParts())


def _scaled(build: Build) -> Build:
    def attend(qkv: torch.Tensor, spans: Spans, scale: float, causal: bool) -> torch.Tensor:  # noqa: FBT001 - it has the signature of Attend
        return attend_sdpa(qkv, spans, scale * 1.05, causal)

    return replace(build, parts=replace(build.parts, attend=attend))


def _leaking(build: Build) -> Build:
    def attend(qkv: torch.Tensor, spans: Spans, scale: float, causal: bool) -> torch.Tensor:  # noqa: FBT001 - it has the signature of Attend
        first, second, *others = spans.lengths
        return attend_sdpa(qkv, spans_of([first + second, *others], CPU), scale, causal)

    return replace(build, parts=replace(build.parts, attend=attend))


def _seeing(ahead: int) -> Callable[[Build], Build]:
    """Let a token of a causal model see `ahead` tokens after it."""

    def attend(qkv: torch.Tensor, spans: Spans, scale: float, causal: bool) -> torch.Tensor:  # noqa: FBT001 - it has the signature of Attend
        contexts = []
        for row in torch.split(qkv, list(spans.lengths)):
            query, key, value = row.permute(1, 2, 0, 3)
            seen = torch.ones(len(row), len(row), dtype=torch.bool).tril(ahead if causal else len(row))
            seen[0, 0] = True  # with the mask one step behind, the first token would see nothing at all
            context = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=scale)
            contexts.append(context.transpose(0, 1).flatten(1))
        return torch.cat(contexts)

    return lambda build: replace(build, parts=replace(build.parts, attend=attend))


def _late(build: Build) -> Build:
    def positions(ids: torch.Tensor, spans: Spans, pad_id: int) -> torch.Tensor:
        return (reference_positions(ids, spans, pad_id) - 1).clamp(min=0)

    return replace(build, parts=replace(build.parts, positions=positions))


def _counting_pads(build: Build) -> Build:
    def positions(ids: torch.Tensor, spans: Spans, pad_id: int) -> torch.Tensor:
        return reference_positions(ids.where(ids != pad_id, pad_id + 1), spans, pad_id)

    return replace(build, parts=replace(build.parts, positions=positions))


def _skipping_pads(build: Build) -> Build:
    """Count the positions of a BERT around pad ids, as XLM-R does."""

    def positions(ids: torch.Tensor, spans: Spans, pad_id: int) -> torch.Tensor:
        return (reference_positions(ids, spans, 1) - 2).clamp(min=0)

    return replace(build, parts=replace(build.parts, positions=positions))


def _tanh_gelu(build: Build) -> Build:
    return replace(build, parts=replace(build.parts, activate=partial(F.gelu, approximate="tanh")))


def _usual_eps(build: Build) -> Build:
    return replace(build, config=type(build.config)(**{**build.config.to_dict(), "layer_norm_eps": 1e-5}))


def swapped(one: str, other: str) -> Callable[[Build], Build]:
    """Return the fault that swaps two projections, given by their names in a checkpoint."""
    places = {one: other, other: one}

    def swap(name: str) -> str:
        part = name.split(".")[-2]
        return name.replace(f".{part}.", f".{places.get(part, part)}.")

    return lambda build: replace(build, tensors={swap(name): tensor for name, tensor in build.tensors.items()})


def _without_bias(build: Build) -> Build:
    ends = ("classifier.bias", "out_proj.bias", "lm_head.bias", "predictions.bias", "decoder.bias", "qa_outputs.bias")
    return replace(build, tensors={k: t * 0 if k.endswith(ends) else t for k, t in build.tensors.items()})


def _without(ids: str) -> Callable[[Build], Build]:
    """Give the engine the rows without one kind of ids."""
    return lambda build: replace(build, rows=[replace(row, **{ids: None}) for row in build.rows])


def _second_token(build: Build) -> Build:
    """Read the second token of every text in place of the first: the position of `<s>` is off by one."""
    return replace(build, rows=[replace(row, input_ids=row.input_ids.roll(-1)) for row in build.rows])


FAULTS: Mapping[str, Callable[[Build], Build]] = {
    "attention scale": _scaled,
    "row leaks into its neighbour": _leaking,
    "position off by one": _late,
    "pad ids counted": _counting_pads,
    "pad ids skipped": _skipping_pads,
    "tanh GELU": _tanh_gelu,
    "LayerNorm eps": _usual_eps,
    "Q and K swapped": swapped("query", "key"),
    "missing head bias": _without_bias,
    "token types unread": _without("token_type_ids"),
    "given positions unread": _without("position_ids"),
    "tokens rolled by one": _second_token,
    "causal mask off by one": _seeing(1),
    "causal mask a step behind": _seeing(-1),
}


def shows(kind: str, fault: str) -> bool:
    """Say whether a class can show a fault.

    Without a head there is no head bias, few classes are causal, and BERT counts pad ids where the others skip them.
    """
    is_causal = kind.endswith(("ForCausalLM", "LMHeadModel"))
    if fault == "missing head bias":
        return is_causal or not kind.endswith("Model")
    if fault in {"pad ids counted", "pad ids skipped"}:
        return kind.startswith("Bert") == (fault == "pad ids skipped")
    return is_causal or not fault.startswith("causal mask")
