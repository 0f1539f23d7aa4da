"""Reads one pickle of tensors and writes it as safetensors: the program of a process of its own.

It is the only place of the product that opens a pickle. `weights_only` lets the file make tensors and containers, and
nothing else. A file that asks for more ends the process with a line that says for what. Must not know checkpoints.
"""

from __future__ import annotations

import math
import pickle
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

STATES = ("state_dict", "model_state_dict", "model", "module")  # where training states keep their tensors
MOST_GROWTH, SPARE_BYTES = 4, 2**20  # tensors may share numbers, but a small file does not become a huge one
TIED = ("decoder.weight", "decoder.bias", "pred_layer.proj.weight")  # names that a tied tensor need not have


def main(arguments: list[str]) -> int:
    """Convert the file named first into the file named second; return the exit code."""
    source, target = map(Path, arguments)
    try:
        most_bytes = MOST_GROWTH * source.stat().st_size + SPARE_BYTES
        check_unpacked(source, most_bytes)
        loaded = torch.load(source, map_location="cpu", weights_only=True)
        save_file(plain_tensors(loaded, most_bytes), target, metadata={"format": "pt"})
    except pickle.UnpicklingError as error:
        print(f"{source.name} asks for more than tensors: {_reason(str(error))}", file=sys.stderr)
        return 3
    except Exception as error:  # noqa: BLE001 - a broken file raises whatever its reader meets first
        what = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        print(f"{source.name} cannot be converted: {what}{_reason(str(error))}", file=sys.stderr)
        return 4
    return 0


def check_unpacked(source: Path, most_bytes: int) -> None:
    """Raise ValueError when a file is an archive whose parts would take more than `most_bytes`."""
    if not zipfile.is_zipfile(source):
        return
    with zipfile.ZipFile(source) as archive:
        n_bytes = sum(part.file_size for part in archive.infolist())
    if n_bytes > most_bytes:
        raise ValueError(f"its parts take {n_bytes:,} bytes, expected at most {most_bytes:,} in a file of its size")


def plain_tensors(loaded: object, most_bytes: float = math.inf) -> dict[str, torch.Tensor]:
    """Return the tensors of a state dict, each with memory of its own.

    A tied tensor that is stored under two names keeps the first of them. Raises ValueError for what is no state dict,
    for tensors that are not plain numbers, and for tensors that share numbers so often that they take more than
    `most_bytes`.
    """
    if isinstance(loaded, Mapping):
        loaded = next((loaded[name] for name in STATES if isinstance(loaded.get(name), Mapping)), loaded)
    if not isinstance(loaded, Mapping) or not loaded or not all(map(torch.is_tensor, loaded.values())):
        raise ValueError(f"it holds a {type(loaded).__name__}, expected tensors by name")
    for name, tensor in loaded.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
            raise ValueError(f"tensor {name} is sparse, quantized or empty, expected plain numbers")
    n_bytes = sum(tensor.numel() * tensor.element_size() for tensor in loaded.values())
    if n_bytes > most_bytes:
        raise ValueError(f"its tensors take {n_bytes:,} bytes, expected at most {most_bytes:,} in a file of its size")
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
