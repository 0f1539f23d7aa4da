"""Chooses the attention function of a model by its catalog entry, device, dtype and head width.

It must not know rows or layers.
"""

from __future__ import annotations

import torch

from serve.checkpoints.read import CheckpointError
from serve.kernels.cpu.attention import kernel_attention
from serve.layers.attention import Attend, attend_eager, attend_products, attend_sdpa, attend_varlen

MAX_VARLEN_HEAD_WIDTH = 256


VARLEN_CAPABILITY = (8, 0)


def attention_for(device: torch.device, dtype: torch.dtype, head_width: int, asked: str = "auto") -> Attend:
    """Return the attention function for a name of `attn_implementation` in `transformers`.

    `auto` is the fastest one for this device, dtype and head width. Raises CheckpointError, with the reason, when
    flash_attention_2 is asked for and cannot run.
    """
    if asked == "eager":
        return attend_eager
    if asked == "sdpa":
        return attend_sdpa
    lacking = flash_lacks(device, dtype, head_width)
    if asked == "flash_attention_2" and lacking:
        raise CheckpointError(f"attn_implementation flash_attention_2 cannot run: {lacking}")
    if not lacking:
        return attend_varlen
    if device.type != "cpu" or dtype != torch.bfloat16:
        return attend_sdpa
    return kernel_attention(head_width) or attend_products


def flash_lacks(device: torch.device, dtype: torch.dtype, head_width: int) -> str:
    """Return why flash attention cannot run here, with value and expectation. Return "" when it can run."""
    if device.type != "cuda":
        return f"got device {device.type}, expected cuda"
    if dtype not in {torch.bfloat16, torch.float16}:
        return f"got {dtype}, expected torch.bfloat16 or torch.float16"
    if head_width > MAX_VARLEN_HEAD_WIDTH or head_width % 8:
        return f"got heads of {head_width}, expected a multiple of 8 up to {MAX_VARLEN_HEAD_WIDTH}"
    if (found := torch.cuda.get_device_capability(device)) < VARLEN_CAPABILITY:
        return f"got compute capability {found}, expected at least {VARLEN_CAPABILITY}"
    return ""
