"""Converts a checkpoint of pickles into a new folder with safetensors. Must not know what tensors mean."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serve.checkpoints.broken_files import AGAIN, what_is
from serve.checkpoints.files import INDEX, PICKLE, PICKLE_INDEX, SINGLE, SPARSE, CheckpointError, read_json
from serve.checkpoints.folders import module_folders, transformer_folder

CHECKOUT = Path(__file__).resolve().parents[2]
SPARSE_PICKLE = "sparse_linear.pt"
SHARD = re.compile(r"[A-Za-z0-9_][\w.-]*\.bin")
KEPT = re.compile(r".*\.(?:json|model|txt|md)|LICENSE.*")  # what describes the weights
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR")  # the process gets no credentials of the caller
LONGEST_S = 3600.0


def convert(folder: Path, out: Path | None = None) -> Path:
    """Write the checkpoint of `folder` into the new folder `out` with safetensors, and return it.

    `out` defaults to the name of the folder and `-safetensors`. Each pickle is read by a process of its own, which
    makes tensors and nothing else. Configuration, tokenizer and the modules of sentence-transformers are copied, and
    `sparse_linear.pt` becomes `sparse_linear.safetensors`. Raises CheckpointError when there is no pickle of weights,
    when one asks for more than tensors, or when `out` exists.
    """
    target = out or folder.with_name(f"{folder.resolve().name}-safetensors")
    inner = transformer_folder(folder)
    if not (inner / PICKLE).is_file() and not (inner / PICKLE_INDEX).is_file():
        what = f"it has {SINGLE} already" if (inner / SINGLE).is_file() or (inner / INDEX).is_file() else "it has none"
        raise CheckpointError(f"got {folder} to convert, expected a folder with {PICKLE}; {what}")
    with new_folder(target) as partial:
        for place in _places(folder, inner):
            copy_descriptions(folder / place, partial / place)
            _convert_weights(folder / place, partial / place)
        if (folder / SPARSE_PICKLE).is_file():
            unpickle(folder / SPARSE_PICKLE, partial / SPARSE)
    return target


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Give a folder that becomes `target` if nothing fails. Raises CheckpointError when `target` is there already."""
    if target.exists() or target.is_symlink():
        hint = "give another one with --out; if it was converted before, add that folder itself"
        raise CheckpointError(f"{target} is there already, expected a new folder", hint=hint)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield partial
        partial.chmod(0o755)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def copy_descriptions(source: Path, target: Path) -> None:
    """Copy the files of a folder that are no weights."""
    target.mkdir(exist_ok=True)
    for path in source.iterdir():
        if path.is_file() and KEPT.fullmatch(path.name) and not path.name.endswith(".index.json"):
            shutil.copyfile(path, target / path.name)


def unpickle(source: Path, target: Path) -> None:
    """Write the tensors of a pickle as safetensors, in a process of its own.

    Raises CheckpointError with what the process says, when the file asks for more than tensors or cannot be read.
    """
    if (known := what_is(source)) is not None:
        raise CheckpointError(f"{source} {known[0]}, expected the weights", hint=known[1])
    program = [
        sys.executable,
        "-m",
        "glossa.checkpoint_conversion.unpickle",
        str(source.resolve()),
        str(target.resolve()),
    ]
    environ = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    try:
        done = subprocess.run(
            program, cwd=CHECKOUT, env=environ, capture_output=True, text=True, timeout=LONGEST_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise CheckpointError(f"{source} was not read within {LONGEST_S:.0f} s") from None
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"{source.name} ended its process with {done.returncode}"])[-1]
        more = {3: "it was not run; ask its author for safetensors", 4: AGAIN}
        raise CheckpointError(f"{source.parent}: {said}", hint=more.get(done.returncode))


def _places(folder: Path, inner: Path) -> list[Path]:
    """Return the folders of a checkpoint that hold files, relative to it: itself, its transformer, its modules."""
    named = [Path(name) for name in module_folders(folder) if (folder / name).is_dir()]
    return sorted({Path(), inner.relative_to(folder), *named})


def _convert_weights(source: Path, target: Path) -> None:
    """Convert the pickle of a folder, or all that its index names; a folder without any has no weights to convert."""
    for name in (SINGLE, INDEX):
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    if (source / SINGLE).is_file():
        return
    if (source / PICKLE).is_file():
        unpickle(source / PICKLE, target / SINGLE)
    elif (source / PICKLE_INDEX).is_file():
        _convert_shards(source, target)


def _convert_shards(source: Path, target: Path) -> None:
    places = read_json(source / PICKLE_INDEX).get("weight_map")
    names = sorted(set(map(str, places.values()))) if isinstance(places, dict) else []
    if not names or not all(SHARD.fullmatch(name) and (source / name).is_file() for name in names):
        raise CheckpointError(f"{source / PICKLE_INDEX} names {names}, expected files of the folder")
    from safetensors import safe_open  # noqa: PLC0415 - imports torch, and only shards need it

    found: dict[str, str] = {}
    for number, name in enumerate(names, 1):
        file = f"model-{number:05}-of-{len(names):05}.safetensors"
        unpickle(source / name, target / file)
        with safe_open(target / file, framework="pt", device="cpu") as opened:
            found |= dict.fromkeys(opened.keys(), file)
    (target / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": found}, indent=2), encoding="utf-8")
