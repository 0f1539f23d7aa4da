"""Quantizes a model: linear layers to 4 or 8 bits, and word embeddings to 8 bits with one scale per row.

It makes the layers that `quantization` and `int8_embeddings` of a catalog entry ask for. Full-precision copies are not
kept. The methods are ours, oneDNN's, bitsandbytes' and torchao's; the libraries are imported when first needed. This
module must not know families, files or rows.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from serve.checkpoints.read import CheckpointError
from serve.kernels.cpu.int8_products import int8_linear
from serve.kernels.cpu.onednn_int8 import int8_lacks, int8_rows
from serve.layers.linear import LAYERS
from serve.layers.parts import ModelParts
from shared.catalog import Model, Quantization

Quantize = Callable[[nn.Linear], nn.Module]

FP8_CAPABILITY = (8, 9)
INT4_CAPABILITY = (8, 0)
INT4_GROUPS = (128, 64, 32)  # weights per scale; the largest one that divides the input width is taken
PARALLEL_SAFE: frozenset[Quantization] = frozenset(
    {"none", "onednn-int8"}
)  # the others may modify themselves in their first pass
ROWS_AT_ONCE = 32_768  # rows of an embedding that are quantized or multiplied at a time


def quantized(parts: ModelParts, model: Model, device: torch.device) -> ModelParts:
    """Return parts that make layers as the catalog entry says.

    Only the linear layers of the backbone are quantized. Heads stay in `model.dtype`: they hold less than 1 % of the
    weights, and their errors would go straight into the answer. Raises CheckpointError, with the reason, when this
    machine or dtype cannot run the method.
    """
    if model.quantization != "none":
        check_runnable(model.quantization, getattr(torch, model.dtype), device)
        make, quantize = parts.linear, LINEARS[model.quantization]

        def linear(name: str, weight: Tensor, bias: Tensor | None) -> nn.Module:
            layer = make(name, weight, bias)
            return quantize(layer) if name.startswith(LAYERS) and isinstance(layer, nn.Linear) else layer

        parts = replace(parts, linear=linear)
    if model.int8_embeddings:
        parts = replace(parts, embedding=int8_embedding, tied=int8_tied)
    return parts


def check_runnable(kind: Quantization, dtype: torch.dtype, device: torch.device) -> None:
    """Raise CheckpointError when this device, dtype or installation cannot run a quantization."""
    if kind == "onednn-int8":
        _check_bfloat16(kind, dtype)
        if lacking := int8_lacks(device):
            raise CheckpointError(f"quantization {kind} {lacking}")
        return
    package = "bitsandbytes" if kind.startswith("bnb") else "torchao"
    if find_spec(package) is None:
        raise CheckpointError(f"quantization {kind} needs the package {package}, which is not installed")
    needed = {"torchao-int4": INT4_CAPABILITY, "torchao-fp8": FP8_CAPABILITY}.get(kind)
    if needed is None:
        return
    if device.type != "cuda":
        raise CheckpointError(f"quantization {kind} got device {device.type}, expected cuda: its kernels are CUDA's")
    found = torch.cuda.get_device_capability(device)
    if found < needed:
        raise CheckpointError(f"quantization {kind} got compute capability {found}, expected at least {needed}")
    _check_bfloat16(kind, dtype)


def _check_bfloat16(kind: Quantization, dtype: torch.dtype) -> None:
    if dtype != torch.bfloat16:
        raise CheckpointError(f"quantization {kind} got dtype {dtype}, expected torch.bfloat16")


def bnb_nf4(layer: nn.Linear) -> nn.Module:
    """Quantize to 4-bit NormalFloat by bitsandbytes, in blocks of 64 with float32 scales.

    The method is QLoRA (Dettmers et al. 2023).
    """
    bnb = _bitsandbytes()
    made = bnb.nn.Linear4bit(
        layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta",
        compute_dtype=layer.weight.dtype, quant_type="nf4", compress_statistics=False,
    )  # fmt: skip
    made.weight = bnb.nn.Params4bit(
        layer.weight.detach(), requires_grad=False, quant_type="nf4", compress_statistics=False, module=made
    )
    made.support_avx512bf16_for_cpu &= not (layer.out_features % 32 or layer.in_features % 64)  # it asserts these sizes
    return _placed(made, layer)


def bnb_int8(layer: nn.Linear) -> nn.Module:
    """Quantize to 8-bit integers, one scale per output; activations get one scale per token. By bitsandbytes.

    The method is LLM.int8() (Dettmers et al. 2022) with threshold 0. The paper (section 3.2) keeps columns above 6 in
    float16. These outliers are found over the whole batch, so that a row's answer would depend on its batch mates.
    Activations pass through float16: values above 65,504 become infinite.
    """
    bnb = _bitsandbytes()
    made = bnb.nn.Linear8bitLt(
        layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta",
        has_fp16_weights=False, threshold=0.0,
    )  # fmt: skip
    made.weight = bnb.nn.Int8Params(layer.weight.detach(), requires_grad=False, has_fp16_weights=False)
    return _placed(made, layer)


def torchao_int8(layer: nn.Linear) -> nn.Module:
    """Quantize weights to 8-bit integers, one scale per output. Activations keep their dtype. By torchao."""
    return _torchao(layer, _torchao_api().Int8WeightOnlyConfig())


def torchao_int4(layer: nn.Linear) -> nn.Module:
    """Quantize weights to 4-bit integers in groups, by torchao. It needs CUDA and bfloat16 (torch's tinygemm kernel).

    Raises CheckpointError for a layer whose input width no group size divides.
    """
    from torchao.quantization.quantize_.workflows import Int4PackingFormat  # noqa: PLC0415 - optional and slow

    group = next((size for size in INT4_GROUPS if layer.in_features % size == 0), None)
    if group is None:
        raise CheckpointError(f"torchao-int4 got an input of {layer.in_features}, expected a multiple of 32")
    tiles = Int4PackingFormat.TILE_PACKED_TO_4D
    return _torchao(layer, _torchao_api().Int4WeightOnlyConfig(group_size=group, int4_packing_format=tiles))


def torchao_fp8(layer: nn.Linear) -> nn.Module:
    """Quantize to float8 e4m3, one scale per output and one per token, by torchao.

    One scale per batch would make a row's answer depend on its batch mates.
    """
    api = _torchao_api()
    return _torchao(layer, api.Float8DynamicActivationFloat8WeightConfig(granularity=api.PerRow()))


LINEARS: dict[Quantization, Quantize] = {
    "bnb-nf4": bnb_nf4,
    "bnb-int8": bnb_int8,
    "torchao-int8": torchao_int8,
    "torchao-int4": torchao_int4,
    "torchao-fp8": torchao_fp8,
    "onednn-int8": int8_linear,
}


class Int8Embedding(nn.Module):
    """An embedding in 8 bits.

    Each row has a symmetric scale from its largest magnitude and is dequantized when read.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        blocks = [int8_rows(block) for block in torch.split(weight.detach(), ROWS_AT_ONCE)]
        self.dtype = weight.dtype
        self.register_buffer("rows", torch.cat([rows for rows, _ in blocks]))
        self.register_buffer("scales", torch.cat([scales for _, scales in blocks]))

    def forward(self, ids: Tensor) -> Tensor:
        """Return the rows [..., width] of ids [...], in the dtype of the original weight."""
        rows, scales = self.get_buffer("rows"), self.get_buffer("scales")
        return (rows[ids].float() * scales[ids, None]).to(self.dtype)


class Int8Decoder(nn.Module):
    """The decoder of a masked LM that shares an 8-bit embedding. It dequantizes one block of rows at a time."""

    def __init__(self, words: Int8Embedding, bias: Tensor | None) -> None:
        super().__init__()
        self.words = words
        self.bias = bias
        self.out_features = words.get_buffer("rows").shape[0]

    def forward(self, hidden: Tensor) -> Tensor:
        """Return logits [masks, vocabulary] of hidden [masks, width], in the dtype of `hidden`.

        Integers of 8 bits are exact in every dtype, so that the only loss is the rounding to them.
        """
        rows, scales = self.words.get_buffer("rows"), self.words.get_buffer("scales")
        logits = hidden.new_empty(hidden.shape[0], self.out_features)
        for first in range(0, self.out_features, ROWS_AT_ONCE):
            block = slice(first, first + ROWS_AT_ONCE)
            product = (hidden @ rows[block].to(hidden.dtype).T).float() * scales[block]
            logits[:, block] = product if self.bias is None else product + self.bias[block]
        return logits


def int8_embedding(name: str, weight: Tensor) -> nn.Module:  # noqa: ARG001 - ModelParts.embedding passes it
    """Make an 8-bit embedding from `weight` [rows, width]."""
    return Int8Embedding(weight)


def int8_tied(name: str, words: nn.Module, bias: Tensor | None) -> nn.Module:
    """Make the decoder that shares the 8-bit embedding `words`. Raises CheckpointError for another embedding."""
    if not isinstance(words, Int8Embedding):
        raise CheckpointError(f"{name} is tied to a {type(words).__name__}, expected an embedding in 8 bits")
    return Int8Decoder(words, bias)


def _placed(made: nn.Module, layer: nn.Linear) -> nn.Module:
    """Move the layer to the device, which is when bitsandbytes quantizes it, and set its bias."""
    made.bias = layer.bias
    made.to(layer.weight.device)
    return made.requires_grad_(requires_grad=False).eval()


def _torchao(layer: nn.Linear, config: Any) -> nn.Module:
    holder = nn.Sequential(layer)
    _torchao_api().quantize_(holder, config)
    made: nn.Module = holder[0]
    if type(made.get_parameter("weight")) is nn.Parameter:  # torchao silently skips layers that it cannot quantize
        raise CheckpointError(f"torchao left a layer {tuple(layer.weight.shape)} as it was with {config}")
    return made


def _bitsandbytes() -> ModuleType:
    """Import bitsandbytes with few warnings.

    The package `kernels` is blocked, because by it bitsandbytes would run code from a hub.
    """
    sys.modules.setdefault("kernels", None)  # type: ignore[arg-type] # None makes `import kernels` fail, as documented
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns at every product that it casts
    import bitsandbytes  # noqa: PLC0415 - optional and slow

    return bitsandbytes


def _torchao_api() -> Any:
    logging.getLogger("torchao").setLevel(logging.ERROR)  # it warns about each CUDA library that a CPU machine lacks
    import torchao.quantization  # noqa: PLC0415 - optional and slow

    return torchao.quantization
