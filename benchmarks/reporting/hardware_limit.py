"""Measures the limit of this machine: how many tokens/s a model would do if only its matrix products took time.

Takes the best of 20 products `[4096, width] x [width, inner]` and back, plain and prepacked. They are in bfloat16, or
in float32 where the processor has no bfloat16. The limit is their FLOP/s over the FLOP that the Linear layers spend on
one token (2 per weight). Attention and all other work count as nothing, so no engine reaches it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from transformers import PretrainedConfig

from serve.layers.linear import can_prepack

N_ROWS, N_TRIES = 4096, 20


def limit_dtype() -> torch.dtype:
    """Return bfloat16, or float32 where oneDNN has no bfloat16 products for this processor."""
    return torch.bfloat16 if can_prepack(torch.device("cpu"), torch.bfloat16) else torch.float32


def limit_name() -> str:
    """Return the name of the limit in tables."""
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
    """Return the FLOP that all Linear layers of the encoder spend on one token."""
    width, inner = config.hidden_size, config.intermediate_size
    return 2.0 * float(config.num_hidden_layers * (4 * width * width + 2 * width * inner))


def tokens_per_s(config: PretrainedConfig) -> float:
    """Return the limit in tokens per second."""
    return peak_flops(config) / flop_per_token(config)


def _plain(inputs: torch.Tensor, weight: torch.Tensor) -> Callable[[], object]:
    return lambda: torch.nn.functional.linear(inputs, weight)


def _prepacked(inputs: torch.Tensor, weight: torch.Tensor) -> Callable[[], object]:
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call] # torch has no types for it
        return _plain(inputs, weight)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, N_ROWS)  # noqa: SLF001 - torch has no public name for it
    return lambda: torch.ops.mkldnn._linear_pointwise(inputs, packed, None, "none", [], "")  # noqa: SLF001 - torch has no public name for it


@torch.inference_mode()
def _best(call: Callable[[], object]) -> float:
    """Return the calls a second of the fastest of `N_TRIES` calls."""
    seconds = []
    for _ in range(N_TRIES):
        began_s = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began_s)
    return 1 / min(seconds)
