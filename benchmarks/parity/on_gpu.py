"""Compares our encoder with transformers at real size on a GPU: float16, bfloat16, nf4, int4, fp8 and `varlen_attn`.

The reference runs in float32 on the rounded weights, row by row. Weights are drawn so that products have a std near 1.
What a device cannot run is S, with the reason that the engine gives. Must not know speeds.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.parity.table import Line, attempt, skipped, within
from serve.checkpoints.read import CheckpointError
from serve.engine.attention_choice import flash_lacks
from serve.engine.bounds import CLOSE_AT_REAL_SIZE, QUANTIZED
from serve.engine.quantize import LINEARS, check_runnable
from serve.layers.attention import attend_sdpa, attend_varlen
from serve.layers.linear import LAYERS
from serve.layers.parts import ModelParts
from serve.models.registry import FAMILIES
from serve.rows.pack import pack_rows
from serve.rows.row import row_of
from shared.catalog import Quantization

N_ROWS = 8


class Precision(NamedTuple):
    """One way to store and compute a model."""

    name: str
    dtype: torch.dtype
    quantization: Quantization = "none"
    is_varlen: bool = False


PRECISIONS = (
    Precision("float16", torch.float16),
    Precision("bfloat16", torch.bfloat16),
    Precision("float16 varlen_attn", torch.float16, is_varlen=True),
    Precision("bfloat16 varlen_attn", torch.bfloat16, is_varlen=True),
    Precision("bfloat16 nf4", torch.bfloat16, "bnb-nf4"),
    Precision("bfloat16 int4", torch.bfloat16, "torchao-int4"),
    Precision("bfloat16 fp8", torch.bfloat16, "torchao-fp8"),
)


@torch.inference_mode()
def lines(size: str, reference: Any, rows: Sequence[Sequence[int]], device: torch.device) -> Iterator[Line]:
    """Compare each precision with `reference`, a backbone of transformers. Its weights are drawn anew."""
    drawn(reference)
    chosen = [*rows[: N_ROWS - 1], max(rows, key=len)]
    for precision in PRECISIONS:
        if why := lacking(precision, reference.config, device):
            yield skipped(size, precision.name, why)
        else:
            yield attempt(size, precision.name, lambda now=precision: _line(size, now, reference, chosen, device))  # type: ignore[misc] # mypy cannot type a default of a lambda


def lacking(precision: Precision, config: Any, device: torch.device) -> str:
    """Return why a precision cannot run on a device, or nothing."""
    try:
        check_runnable(precision.quantization, precision.dtype, device)
    except CheckpointError as error:
        return str(error)
    width = config.hidden_size // config.num_attention_heads
    return flash_lacks(device, precision.dtype, width) if precision.is_varlen else ""


def drawn(model: nn.Module) -> None:
    """Draw LayerNorm weights around 1 and all else around 0, so that faults show at any size."""
    generator = torch.Generator(next(model.parameters()).device).manual_seed(0)
    for name, weight in model.named_parameters():
        norm = name.endswith(("LayerNorm.weight", "layer_norm.weight"))
        fan_in = weight.shape[-1]
        weight.normal_(1.0 if norm else 0.0, 0.1 if norm else fan_in**-0.5, generator=generator)


def _line(size: str, precision: Precision, reference: Any, rows: Sequence[Sequence[int]], device: torch.device) -> Line:
    rounded = copy.deepcopy(reference).to(precision.dtype)
    ours = _states(precision, rounded, rows, device)
    exact = _exact(rounded.float(), rows, device)
    distance = float((ours - exact).norm() / exact.norm())
    bound = CLOSE_AT_REAL_SIZE if precision.quantization == "none" else QUANTIZED[precision.quantization]
    return within(size, precision.name, distance, bound, f"{len(rows)} rows")


def _states(precision: Precision, model: Any, rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    """Return our states of all tokens, row after row, in float32."""
    parts = ModelParts(attend=attend_varlen if precision.is_varlen else attend_sdpa)
    if precision.quantization != "none":
        make, quantize = parts.linear, LINEARS[precision.quantization]

        def linear(name: str, weight: Tensor, bias: Tensor | None) -> nn.Module:
            layer = make(name, weight, bias)
            return quantize(layer) if name.startswith(LAYERS) and isinstance(layer, nn.Linear) else layer

        parts = replace(parts, linear=linear)
    encoder = FAMILIES[model.config.model_type].build_encoder(model.config, model.state_dict(), parts)
    pack = pack_rows({number: row_of(row, "bench") for number, row in enumerate(rows)}, device)
    states = torch.split(encoder(pack).float(), list(pack.spans.lengths))
    by_row = dict(zip(pack.order, states, strict=True))
    return torch.cat([by_row[number] for number in range(len(rows))])


def _exact(model: Any, rows: Sequence[Sequence[int]], device: torch.device) -> Tensor:
    found = []
    for row in rows:
        ids = torch.tensor([list(row)], device=device)
        found.append(model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0])
    return torch.cat(found)
