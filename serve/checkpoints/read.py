"""Reads the tensors and JSON files of a checkpoint folder.

Only safetensors and JSON are read: no pickle is loaded and no code is run. This module must not know where the folder
came from, or the architecture of a family.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from shared.errors import GlossaError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
BESIDE = (
    "config.json", "heads.json", "tokenizer.json", "tokenizer_config.json", "sentencepiece.bpe.model",
    "vocab.json", "merges.txt", "special_tokens_map.json", "added_tokens.json",  # the last four: XLM tokenizers
)  # fmt: skip
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")
FLOATS = {"F32", "F16", "BF16"}
CONVERT = (
    "convert it once, where you trust the file: AutoModelForX.from_pretrained(path).save_pretrained(folder) "
    "of transformers writes model.safetensors"
)


class CheckpointError(GlossaError):
    """A checkpoint that cannot be served: it is missing, changed, incomplete, or of an unsupported kind."""

    code = "checkpoint-error"


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a checkpoint, sorted by name.

    These are the single file `model.safetensors`, or the shards that the index names. Raises CheckpointError when there
    are none; an error about a checkpoint of pickles names the pickle. Also raises CheckpointError when the index names
    a file that is missing or outside the folder.
    """
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if not (folder / INDEX).is_file():
        raise no_weights(str(folder), (path.name for path in folder.iterdir()))
    index = read_json(folder / INDEX)
    places = index.get("weight_map")
    names = sorted(set(places.values())) if isinstance(places, Mapping) else []
    if wrong := [name for name in names if not SHARD.fullmatch(name)]:
        raise CheckpointError(f"{INDEX} names {wrong[0]!r}, expected names such as model-00001-of-00002.safetensors")
    if absent := [name for name in names if not (folder / name).is_file()]:
        raise CheckpointError(f"{INDEX} names {absent[0]}, which is not in {folder}")
    if not names:
        raise CheckpointError(f"{INDEX} in {folder} names no file")
    return [folder / name for name in names]


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor by name. Only the headers of the files are read.

    Raises CheckpointError for a broken file, or for a tensor that is not float32, float16 or bfloat16.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in weight_files(folder):
        with _open(path) as opened:
            for name in opened.keys():  # noqa: SIM118 - the file handle is no mapping
                part = opened.get_slice(name)
                if not name.endswith("_ids") and part.get_dtype() not in FLOATS:
                    raise CheckpointError(f"tensor {name} is {part.get_dtype()}, expected one of {sorted(FLOATS)}")
                shapes[name] = tuple(part.get_shape())
    return shapes


def read_tensors(folder: Path, names: Collection[str], dtype: torch.dtype | None = None) -> dict[str, torch.Tensor]:
    """Return the named tensors on the CPU, in `dtype` or, without one, as stored.

    Names that the checkpoint lacks are left out. Each tensor is converted when it is read, so that only one tensor at a
    time exists in both dtypes. Each tensor has a memory mapping of its own: when a layer copies it into another layout,
    its pages are freed while other tensors keep theirs.
    """
    tensors: dict[str, torch.Tensor] = {}
    for path in weight_files(folder):
        with _open(path) as opened:
            found = [name for name in opened.keys() if name in names]  # noqa: SIM118 - the file handle is no mapping
        tensors.update({name: _read(path, name).to(dtype=dtype) for name in found})
    return tensors


def read_json(path: Path) -> dict[str, object]:
    """Read a JSON object of a checkpoint. Raises CheckpointError when it is not a readable JSON object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds a {type(value).__name__}, expected an object")
    return value


def no_weights(place: str, names: Iterable[str]) -> CheckpointError:
    """Return the error for a place without weights. If the place holds a pickle, the error says how to convert it."""
    pickles = sorted(name for name in names if name.endswith(PICKLES))
    if pickles:
        return CheckpointError(f"{place} holds {pickles[0]} but no {SINGLE}; pickles are never loaded", hint=CONVERT)
    return CheckpointError(f"{place} holds no {SINGLE} and no {INDEX}", hint=CONVERT)


def _open(path: Path) -> safe_open:
    try:
        return safe_open(path, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from None


def _read(path: Path, name: str) -> torch.Tensor:
    with _open(path) as opened:
        return torch.as_tensor(opened.get_tensor(name))
