"""The limit of this machine: the best bf16 matrix product it makes, in the widths of a model.

float32's where the processor has none of bf16. The best of 20 products `[4096, width] x [width, inner]` and back, plain
and prepacked, as FLOP/s; tokens/s is that over the FLOP a token costs in the model's Linear layers (2 per weight;
attention and the rest count as nothing, so no engine reaches it).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from transformers import PretrainedConfig

from serve.layers.linear import can_prepack

N_ROWS, N_TRIES = 4096, 20


def limit_dtype() -> torch.dtype:
    """Return bfloat16, or float32 on a processor of which oneDNN has no products of bfloat16."""
    return torch.bfloat16 if can_prepack(torch.device("cpu"), torch.bfloat16) else torch.float32


def limit_name() -> str:
    """Return what the limit is called in tables."""
    return f"limit: {'bf16' if limit_dtype() == torch.bfloat16 else 'float32'} matmul peak"


def peak_flops(config: PretrainedConfig) -> float:
    """Return the best FLOP/s of this machine at the widths of a model."""
    dtype = limit_dtype()
    width, inner = config.hidden_size, config.intermediate_size
    up = torch.randn(N_ROWS, width).to(dtype), torch.randn(inner, width).to(dtype)
    down = torch.randn(N_ROWS, inner).to(dtype), torch.randn(width, inner).to(dtype)
    best = max(_best(product(*pair)) for product in (_plain, _prepacked) for pair in (up, down))
    return 2.0 * N_ROWS * float(width * inner) * best


def flop_per_token(config: PretrainedConfig) -> float:
    """Return the FLOP of all Linear layers of the encoder for one token."""
    width, inner = config.hidden_size, config.intermediate_size
    return 2.0 * float(config.num_hidden_layers * (4 * width * width + 2 * width * inner))


def tokens_per_s(config: PretrainedConfig) -> float:
    """Return the limit in tokens per second."""
    return peak_flops(config) / flop_per_token(config)


def _plain(inputs: torch.Tensor, weight: torch.Tensor) -> Callable[[], object]:
    return lambda: torch.nn.functional.linear(inputs, weight)


def _prepacked(inputs: torch.Tensor, weight: torch.Tensor) -> Callable[[], object]:
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call] # torch leaves it untyped
        return _plain(inputs, weight)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, N_ROWS)  # noqa: SLF001 - torch has no public name for it
    return lambda: torch.ops.mkldnn._linear_pointwise(inputs, packed, None, "none", [], "")  # noqa: SLF001 - likewise


@torch.inference_mode()
def _best(call: Callable[[], object]) -> float:
    """Return the most calls a second of a few."""
    seconds = []
    for _ in range(N_TRIES):
        began_s = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began_s)
    return 1 / min(seconds)
