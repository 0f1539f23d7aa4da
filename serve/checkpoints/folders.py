"""Says what kind of folder a checkpoint is, and where in it the transformer and the other modules lie.

A sentence-transformers folder lists its modules in modules.json. The transformer is the first of them; in old folders
it lies in `0_Transformer/`. It must not know tensors, or what the modules compute.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from serve.checkpoints.files import (
    ADAPTER,
    CONFIG,
    INDEX,
    MODULES,
    PICKLE,
    PICKLE_INDEX,
    SINGLE,
    SPARSE,
    CheckpointError,
    read_any_json,
    read_json,
)

OLD_TRANSFORMER = "0_Transformer"
MODULE = re.compile(r"[A-Za-z0-9_][\w.-]*")
RUN_STATE = re.compile(r"checkpoint-\d+")  # what the Trainer of transformers writes while it trains
MERGED = "LORA"  # the kind of adapter that --merge merges
SNAPSHOTS = "snapshots"  # of the commits of a model, in the cache of the hub library


def transformer_folder(folder: Path) -> Path:
    """Return the folder that holds config.json, weights and tokenizer of a checkpoint: itself, or one within it.

    Raises CheckpointError that says what the folder is, when it is no checkpoint of a whole model.
    """
    _check_kind(folder)
    modules = module_folders(folder)
    inner = modules[0] if modules else OLD_TRANSFORMER if not (folder / CONFIG).is_file() else ""
    found = folder / inner if inner and (folder / inner / CONFIG).is_file() else folder
    if not (found / CONFIG).is_file():
        _check_adapter(folder)
        if states := sorted(path.name for path in folder.iterdir() if RUN_STATE.fullmatch(path.name)):
            raise CheckpointError(f"{folder} is the folder of a training run, expected one of its states: {states[-1]}")
        if inside := _checkpoints_inside(folder):
            raise CheckpointError(f"{folder} holds no {CONFIG}", hint=f"give the folder within it: {inside[-1]}")
    elif not _holds_weights(found):
        _check_adapter(folder)
    return found


def module_folders(folder: Path) -> list[str]:
    """Return the folders of the modules in modules.json, in their order. An empty name is the folder itself.

    Without modules.json there are none. Raises CheckpointError when the file is malformed, or names a place elsewhere.
    """
    if not (folder / MODULES).is_file():
        return []
    return module_names(read_any_json(folder / MODULES), str(folder / MODULES))


def module_names(listed: object, place: str) -> list[str]:
    """Return the folders that the content of a modules.json at `place` names. Raises CheckpointError as module_folders.

    No name leads out of the checkpoint, or has a character that means something in a pattern.
    """
    entries = listed if isinstance(listed, list) else [None]
    names = [entry.get("path") if isinstance(entry, Mapping) else None for entry in entries]
    for name in names:
        if not isinstance(name, str) or (name and not MODULE.fullmatch(name)):
            raise CheckpointError(f"{place} has a module at {name!r}, expected the name of a folder in it")
    return [str(name) for name in names]


def unread_files(folder: Path) -> tuple[str, ...]:
    """Return one line for each file of a whole model that changes answers elsewhere and is not read here.

    Modules have none: what a module does is applied, or the folder is refused.
    """
    lines = {
        ADAPTER: "the adapter is not applied, because the folder holds a whole model",
        PICKLE: f"a pickle; {SINGLE} is read",
        "model_head.pkl": "a pickle, the classifier of SetFit; the vectors under it are served",
        "colbert_linear.pt": "vectors of single tokens are not served",
    }
    if not (folder / SPARSE).is_file():
        lines["sparse_linear.pt"] = f"a pickle; --convert makes {SPARSE} of it"
    return tuple(f"{name}: {line}" for name, line in lines.items() if (folder / name).is_file())


def _check_kind(folder: Path) -> None:
    if folder.is_file():
        raise CheckpointError(f"{folder} is a file, expected the folder that holds it")
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not there, expected a folder with a checkpoint")
    if not any(folder.iterdir()):
        raise CheckpointError(f"{folder} is empty, expected {CONFIG} and {SINGLE}")


def _checkpoints_inside(folder: Path) -> list[Path]:
    """Return the folders of checkpoints in a folder, as an unpacked archive and the cache of the hub library have."""
    return sorted(path.parent for pattern in ("*", f"{SNAPSHOTS}/*") for path in folder.glob(f"{pattern}/{CONFIG}"))


def _check_adapter(folder: Path) -> None:
    """Raise CheckpointError when a folder without a model of its own holds an adapter of one."""
    if not (folder / ADAPTER).is_file():
        return
    facts = read_json(folder / ADAPTER)
    base = str(facts.get("base_model_name_or_path") or facts.get("model_name") or "its base model")
    kind = facts.get("peft_type")
    ours = f"merge it: glossa catalog add {shlex.quote(str(folder))} --merge BASE --name NAME, "
    hint = f"{ours}where BASE is the folder of {base}"
    if kind != MERGED:
        hint = "merge it with the library that made it (peft: model.merge_and_unload()), and save the whole model"
    raise CheckpointError(
        f"{folder} is an adapter ({kind or 'of the library adapters'}) of {base}, not a whole model", hint=hint
    )


def _holds_weights(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (SINGLE, INDEX, PICKLE, PICKLE_INDEX))
