"""Reads the tensors of a head that was trained apart from its model, from a file of its own.

The file may be in a folder that `transformers` loads as a whole checkpoint; nothing else of it is read. It must not
know what the tensors mean, or where the folder came from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from serve.checkpoints.files import HEAD, CheckpointError

BACKBONE = "backbone_sha256"  # the metadata that names the weights that a head was trained over
LENGTH_BYTES = 8  # at the start of a safetensors file: how long its header is
Shapes = Mapping[str, tuple[int, ...]]


def read_head_tensors(folder: Path, expected_sha256: str | None, backbone_sha256: str) -> dict[str, torch.Tensor]:
    """Return the tensors of the head in `folder`, as stored. `backbone_sha256` is the digest of its model's weights.

    Raises CheckpointError when the file is missing, is not the one that the catalog names, was trained over other
    weights, or holds a number that is not finite.
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
    trained_over = _metadata(data).get(BACKBONE)
    if trained_over not in {None, backbone_sha256}:
        raise CheckpointError(
            f"{path} was trained over weights with sha256 {trained_over}, those of its model have {backbone_sha256}",
            hint="train it again: glossa head train … --replace",
        )
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"tensor {name} of {path} holds a number that is not finite, expected finite weights")
    return tensors


def _metadata(data: bytes) -> Mapping[str, str]:
    """Return the metadata of a safetensors file that was read before."""
    n_bytes = int.from_bytes(data[:LENGTH_BYTES], "little")
    found: Mapping[str, str] = json.loads(data[LENGTH_BYTES : LENGTH_BYTES + n_bytes]).get("__metadata__", {})
    return found


def check_head_shapes(name: str, tensors: Mapping[str, torch.Tensor], expected: Shapes) -> None:
    """Raise CheckpointError unless the tensors of the head `name` are those that its model reads."""
    found = {tensor_name: tuple(tensor.shape) for tensor_name, tensor in tensors.items()}
    if found != dict(expected):
        wrong = min(set(found.items()) ^ set(expected.items()))[0]
        raise CheckpointError(
            f"head {name} has {wrong} {found.get(wrong, 'nowhere')}, expected {expected.get(wrong, 'no such tensor')}",
            hint="it was trained for another backbone; train it again for this one: glossa head train … --replace",
        )
