"""Finds large tensors that are alive, to show that a layer keeps no full copy of its weight."""

from __future__ import annotations

import gc

import torch


def large_tensors(least: float) -> list[torch.Tensor]:
    """Return all floating-point tensors of this process that hold at least so many numbers.

    Other tests of the process keep some. So compare with what was there before, and keep that list: no new tensor can
    then take the identity of an old one.
    """
    gc.collect()
    alive = [o for o in gc.get_objects() if type(o) in {torch.Tensor, torch.nn.Parameter} and o.is_floating_point()]
    return [tensor for tensor in alive if tensor.numel() >= least]
