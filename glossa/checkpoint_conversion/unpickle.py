"""Reads one pickle of tensors and writes it as safetensors: the program of a process of its own.

It is the only place of the product that opens a pickle. `weights_only` lets the file make tensors and containers, and
nothing else. A file that asks for more ends the process with a line that says for what. Must not know checkpoints.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

STATES = ("state_dict", "model_state_dict", "model", "module")  # where training states keep their tensors
TIED = ("decoder.weight", "decoder.bias", "pred_layer.proj.weight")  # names that a tied tensor need not have


def main(arguments: list[str]) -> int:
    """Convert the file named first into the file named second; return the exit code."""
    source, target = map(Path, arguments)
    try:
        tensors = plain_tensors(torch.load(source, map_location="cpu", weights_only=True))
    except pickle.UnpicklingError as error:
        print(f"{source.name} asks for more than tensors: {_reason(str(error))}", file=sys.stderr)
        return 3
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        print(f"{source.name} cannot be read: {_reason(str(error)) or type(error).__name__}", file=sys.stderr)
        return 4
    save_file(tensors, target, metadata={"format": "pt"})
    return 0


def plain_tensors(loaded: object) -> dict[str, torch.Tensor]:
    """Return the tensors of a state dict, each with memory of its own.

    A tied tensor that is stored under two names keeps the first of them. Raises ValueError for what is no state dict.
    """
    if isinstance(loaded, Mapping):
        loaded = next((loaded[name] for name in STATES if isinstance(loaded.get(name), Mapping)), loaded)
    if not isinstance(loaded, Mapping) or not loaded or not all(map(torch.is_tensor, loaded.values())):
        raise ValueError(f"it holds a {type(loaded).__name__}, expected tensors by name")
    known: set[tuple[object, ...]] = set()
    tensors: dict[str, torch.Tensor] = {}
    for name, tensor in sorted(loaded.items(), key=lambda item: str(item[0]).endswith(TIED)):
        place = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
        if place in known and tensor.numel() and str(name).endswith(TIED):
            continue
        known.add(place)
        tensors[str(name)] = tensor.detach().clone().contiguous()
    return tensors


def _reason(message: str) -> str:
    """Return the line of torch's message that names what was refused."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return next((line for line in lines if "GLOBAL" in line or "Unsupported" in line), lines[0] if lines else "")[:200]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
