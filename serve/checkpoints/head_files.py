"""Reads the tensors of a head that was trained apart from its model, from a file of its own.

The file may be in a folder that `transformers` loads as a whole checkpoint; nothing else of it is read. It must not
know what the tensors mean, or where the folder came from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from serve.checkpoints.files import HEAD, CheckpointError

Shapes = Mapping[str, tuple[int, ...]]


def read_head_tensors(folder: Path, expected_sha256: str | None) -> dict[str, torch.Tensor]:
    """Return the tensors of the head in `folder`, as stored.

    Raises CheckpointError when the file is missing, is not the one that the catalog names, or holds a number that is
    not finite.
    """
    path = folder / HEAD
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}", hint="train it: glossa head train") from None
    found = hashlib.sha256(data).hexdigest()
    if found != expected_sha256:
        raise CheckpointError(
            f"{path} has sha256 {found}, the catalog expects {expected_sha256}",
            hint="the head changed; if on purpose: glossa head train … --replace",
        )
    try:
        tensors: dict[str, torch.Tensor] = load(data)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from None
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"tensor {name} of {path} holds a number that is not finite, expected finite weights")
    return tensors


def check_head_shapes(name: str, tensors: Mapping[str, torch.Tensor], expected: Shapes) -> None:
    """Raise CheckpointError unless the tensors of the head `name` are those that its model reads."""
    found = {tensor_name: tuple(tensor.shape) for tensor_name, tensor in tensors.items()}
    if found != dict(expected):
        wrong = min(set(found.items()) ^ set(expected.items()))[0]
        raise CheckpointError(
            f"head {name} has {wrong} {found.get(wrong, 'nowhere')}, expected {expected.get(wrong, 'no such tensor')}",
            hint="it was trained for another backbone; train it again for this one: glossa head train … --replace",
        )
