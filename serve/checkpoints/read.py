"""Reads the tensors and JSON files of a checkpoint folder.

Only safetensors and JSON are read: no pickle is loaded and no code is run. This module must not know where the folder
came from, or the architecture of a family.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from serve.checkpoints.files import INDEX, SINGLE, SPARSE, CheckpointError, read_json
from serve.checkpoints.folders import transformer_folder

__all__ = [
    "INDEX", "SINGLE", "CheckpointError", "no_weights", "read_json", "read_tensors", "shard_names",
    "tensor_shapes", "weight_files",
]  # fmt: skip

SHARD = re.compile(r"[A-Za-z0-9_][\w.-]*\.safetensors")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")
FLOATS = {"F64", "F32", "F16", "BF16"}
CONVERT = (
    "convert it once, where you trust the file: AutoModelForX.from_pretrained(path).save_pretrained(folder) "
    "of transformers writes model.safetensors"
)


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a checkpoint, sorted by name.

    These are the single file `model.safetensors`, or the shards that the index names. Raises CheckpointError when there
    are none; an error about a checkpoint of pickles names the pickle. Also raises CheckpointError when the index names
    a file that is missing or outside the folder.
    """
    folder = transformer_folder(folder)
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if not (folder / INDEX).is_file():
        raise no_weights(str(folder), (path.name for path in folder.iterdir()))
    names = shard_names(folder)
    if absent := [name for name in names if not (folder / name).is_file()]:
        raise CheckpointError(f"{INDEX} names {absent[0]}, which is not in {folder}")
    return [folder / name for name in names]


def shard_names(folder: Path) -> list[str]:
    """Return the files that the index of a folder names, sorted.

    Raises CheckpointError when the index cannot be read, names no file, or one outside the folder.
    """
    places = read_json(folder / INDEX).get("weight_map")
    names = sorted(set(map(str, places.values()))) if isinstance(places, Mapping) else []
    if wrong := [name for name in names if not SHARD.fullmatch(name)]:
        raise CheckpointError(f"{INDEX} names {wrong[0]!r}, expected names such as model-00001-of-00002.safetensors")
    if not names:
        raise CheckpointError(f"{INDEX} in {folder} names no file")
    return names


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor by name. Only the headers of the files are read.

    The tensors of the head for sparse vectors have a file of their own. Their names begin with `sparse_linear.`.
    Raises CheckpointError for a broken file, or for a tensor that is not float32, float16 or bfloat16.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path, prefix in _tensor_files(folder):
        with _open(path) as opened:
            for name in opened.keys():  # noqa: SIM118 - the file handle is no mapping
                part = opened.get_slice(name)
                if not name.endswith("_ids") and part.get_dtype() not in FLOATS:
                    raise CheckpointError(f"tensor {name} is {part.get_dtype()}, expected one of {sorted(FLOATS)}")
                shapes[prefix + name] = tuple(part.get_shape())
    return shapes


def read_tensors(folder: Path, names: Collection[str], dtype: torch.dtype | None = None) -> dict[str, torch.Tensor]:
    """Return the named tensors on the CPU, in `dtype` or, without one, as stored.

    Names that the checkpoint lacks are left out. Each tensor is converted when it is read, so that only one tensor at a
    time exists in both dtypes. Each tensor has a memory mapping of its own: when a layer copies it into another layout,
    its pages are freed while other tensors keep theirs.
    """
    tensors: dict[str, torch.Tensor] = {}
    for path, prefix in _tensor_files(folder):
        with _open(path) as opened:
            found = [name for name in opened.keys() if prefix + name in names]  # noqa: SIM118 - the file handle is no mapping
        tensors.update({prefix + name: _read(path, name).to(dtype=dtype) for name in found})
    return tensors


def no_weights(place: str, names: Iterable[str]) -> CheckpointError:
    """Return the error for a place without weights. If the place holds a pickle, the error says how to convert it."""
    pickles = sorted(name for name in names if name.endswith(PICKLES))
    if pickles:
        return CheckpointError(f"{place} holds {pickles[0]} but no {SINGLE}; pickles are never loaded", hint=CONVERT)
    return CheckpointError(f"{place} holds no {SINGLE} and no {INDEX}", hint=CONVERT)


def _tensor_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files that hold tensors, each with what its tensors' names begin with."""
    yield from ((path, "") for path in weight_files(folder))
    places = [place / SPARSE for place in (folder, transformer_folder(folder))]
    yield from ((path, f"{path.stem}.") for path in [path for path in places if path.is_file()][:1])


def _open(path: Path) -> safe_open:
    try:
        return safe_open(path, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from None


def _read(path: Path, name: str) -> torch.Tensor:
    with _open(path) as opened:
        return torch.as_tensor(opened.get_tensor(name))
