"""Reads the tensors and JSON files of a checkpoint folder.

Only safetensors and JSON are read: no pickle is loaded and no code is run. This module must not know where the folder
came from, or the architecture of a family.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open

from serve.checkpoints.broken_files import AGAIN, what_is_safetensors
from serve.checkpoints.files import CONFIG, INDEX, PICKLE, PICKLE_INDEX, SINGLE, SPARSE, CheckpointError, read_json
from serve.checkpoints.folders import transformer_folder

__all__ = [
    "INDEX", "SINGLE", "CheckpointError", "Header", "check_finite", "no_weights", "read_json", "read_tensors",
    "shard_names", "tensor_headers", "tensor_shapes", "weight_files",
]  # fmt: skip

SHARD = re.compile(r"[A-Za-z0-9_][\w.-]*\.safetensors")
CLASS_NAME = re.compile(r"[A-Za-z]\w*")
PICKLED_SHARD = re.compile(r"pytorch_model-\d+-of-\d+\.bin")
NO_WEIGHTS = (
    "optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin", "sparse_linear.pt", "colbert_linear.pt",
    "adapter_model.safetensors", SPARSE,
)  # fmt: skip
GRAPHS = "onnx"  # the folder of graphs beside the weights of many models
SAFETENSORS = ".safetensors"
NUMBERED = re.compile(r".*-\d+-of-\d+")  # how shards are called
SAVE = f"save_pretrained of transformers writes {SINGLE}"
SOURCE = "take the weights that it was made of"
TORCH = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
OTHER_FORMATS: Mapping[str, tuple[str, str]] = {
    "openvino_model.bin": ("weights of OpenVINO", SOURCE),
    ".onnx": ("a graph of ONNX", SOURCE),
    ".gguf": ("weights of llama.cpp", SOURCE),
    ".ot": ("weights of rust-bert", SOURCE),
    ".npz": ("arrays of NumPy", SOURCE),
    ".tflite": ("a model of TensorFlow Lite", SOURCE),
    ".h5": ("weights of TensorFlow", f"from_pretrained(folder, from_tf=True) of transformers 4 reads it; {SAVE}"),
    ".msgpack": ("weights of Flax", f"from_pretrained(folder, from_flax=True) of transformers 4 reads it; {SAVE}"),
    **dict.fromkeys(TORCH, ("a pickle", SAVE)),
}  # how a name ends -> what the file is, and what to do


class Header(NamedTuple):
    """What the header of a safetensors file says of a tensor. `dtype` is a name of the format, such as BF16."""

    shape: tuple[int, ...]
    dtype: str


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
        names = [path.name for path in folder.iterdir() if path.is_file() or path.name == GRAPHS]
        for path in (folder / SINGLE, folder / INDEX):
            if path.is_symlink():
                raise CheckpointError(f"{path} is a link to {path.readlink()}, which is not there", hint=AGAIN)
        architectures = read_json(folder / CONFIG).get("architectures") if CONFIG in names else None
        raise no_weights(str(folder), names, architectures)
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


def tensor_headers(folder: Path) -> dict[str, Header]:
    """Return shape and dtype of every tensor by name. Only the headers of the files are read.

    The tensors of the head for sparse vectors have a file of their own. Their names begin with `sparse_linear.`. Raises
    CheckpointError for a broken file.
    """
    headers: dict[str, Header] = {}
    for path, prefix in _tensor_files(folder):
        with _open(path) as opened:
            for name in opened.keys():  # noqa: SIM118 - the file handle is no mapping
                part = opened.get_slice(name)
                headers[prefix + name] = Header(tuple(part.get_shape()), str(part.get_dtype()))
    return headers


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor by its name in the files. Raises CheckpointError for a broken file."""
    return {name: header.shape for name, header in tensor_headers(folder).items()}


def read_tensors(folder: Path, names: Collection[str], dtype: torch.dtype | None = None) -> dict[str, torch.Tensor]:
    """Return the named tensors on the CPU, in `dtype` or, without one, as stored.

    Names that the checkpoint lacks are left out. Each tensor is converted when it is read, so that only one tensor at a
    time exists in both dtypes. Each tensor has a memory mapping of its own: when a layer copies it into another layout,
    its pages are freed while other tensors keep theirs. Raises CheckpointError for a tensor that is not finite.
    """
    return dict(_finite_tensors(folder, names, dtype))


def check_finite(folder: Path, names: Collection[str]) -> None:
    """Raise CheckpointError when one of the named tensors holds NaN or an infinite number."""
    for _ in _finite_tensors(folder, names, None):
        pass


def no_weights(place: str, names: Iterable[str], architectures: object = None) -> CheckpointError:
    """Return the error for a place without weights, which holds files of these `names`.

    If it holds a pickle of weights, the hint is a line that converts it. `architectures` are those of its config.json.
    """
    found = sorted(set(names).difference(NO_WEIGHTS))
    pickled = [name for name in found if name in (PICKLE, PICKLE_INDEX) or PICKLED_SHARD.fullmatch(name)]
    if pickled:
        message = f"{place} holds {pickled[0]} but no {SINGLE}; a pickle is opened by a conversion alone"
        return CheckpointError(message, hint=_conversion(place, architectures))
    for name in found:
        if name.lower().endswith(SAFETENSORS):
            return _misnamed(place, name)
    for name in found:
        for ending, (what, advice) in OTHER_FORMATS.items():
            if name.endswith(ending):
                return CheckpointError(f"{place} holds {name}, {what}, but no {SINGLE}", hint=advice)
    graphs = f"; the graphs in its folder {GRAPHS} are not read" if GRAPHS in found else ""
    return CheckpointError(f"{place} holds no {SINGLE} and no {INDEX}{graphs}")


def _misnamed(place: str, name: str) -> CheckpointError:
    """Return the error for weights under a name that transformers does not read either."""
    if NUMBERED.fullmatch(name.lower().removesuffix(SAFETENSORS)):
        return CheckpointError(
            f"{place} holds {name} but no {INDEX}, which says what is in each file",
            hint=f"take {INDEX} from the checkpoint's source; save_pretrained of transformers writes it too",
        )
    return CheckpointError(f"{place} holds {name} but no {SINGLE}", hint=f"name it {SINGLE}")


def _conversion(place: str, architectures: object) -> str:
    """Return a line that converts a checkpoint, and, for a folder whose class is known, what transformers needs."""
    ours = f"glossa catalog add {shlex.quote(place)} --name NAME --convert"
    kind = architectures[0] if isinstance(architectures, list) and architectures else None
    if not isinstance(kind, str) or not CLASS_NAME.fullmatch(kind) or place.startswith(("s3:", "hub:")):
        return f"convert it: {ours}"
    path = json.dumps(place)  # in double quotes, so that the shell's single ones stay readable
    code = f"from transformers import {kind} as M; M.from_pretrained({path}).save_pretrained({path})"
    return f"convert it: {ours}, or: {shlex.quote(sys.executable)} -c {shlex.quote(code)}"


def _finite_tensors(
    folder: Path, names: Collection[str], dtype: torch.dtype | None
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the named tensors, each with a memory mapping of its own. Raises CheckpointError for one not finite."""
    for path, prefix in _tensor_files(folder):
        with _open(path) as opened:
            found = [prefix + name for name in opened.keys() if prefix + name in names]  # noqa: SIM118 - the file handle is no mapping
        for name in found:
            stored = _read(path, name.removeprefix(prefix))
            tensor = stored.to(dtype=dtype)
            if not _is_finite(tensor):
                broken = "NaN" if bool(tensor.isnan().any()) else "an infinite number"
                at = f" in {dtype}, as stored all are finite" if _is_finite(stored) else f" in {path.name}"
                raise CheckpointError(f"tensor {name} holds {broken}{at}, expected finite weights")
            yield name, tensor


def _is_finite(tensor: torch.Tensor) -> bool:
    """Say whether all numbers are finite. Their sum tells, unless it overflows."""
    wide = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    return bool(torch.isfinite(tensor.sum(dtype=wide))) or bool(torch.isfinite(tensor).all())


def _tensor_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files that hold tensors, each with what its tensors' names begin with."""
    yield from ((path, "") for path in weight_files(folder))
    places = [place / SPARSE for place in (folder, transformer_folder(folder))]
    yield from ((path, f"{path.stem}.") for path in [path for path in places if path.is_file()][:1])


def _open(path: Path) -> safe_open:
    try:
        return safe_open(path, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        reason, advice = what_is_safetensors(path) or (f"cannot be read: {error}", AGAIN)
        raise CheckpointError(f"{path} {reason}, expected a safetensors file", hint=advice) from None


def _read(path: Path, name: str) -> torch.Tensor:
    with _open(path) as opened:
        return torch.as_tensor(opened.get_tensor(name))
