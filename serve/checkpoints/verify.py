"""Compares the digests of a checkpoint's weights, and of the files that describe them, with those in the catalog.

It must not know where a checkpoint came from, or what its tensors mean.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from serve.checkpoints.files import CONFIG, DECLARING, SINGLE, SPARSE, CheckpointError
from serve.checkpoints.folders import module_folders, transformer_folder
from serve.checkpoints.read import weight_files
from shared.log import log_event

BESIDE = (*DECLARING, SPARSE)
OF_MODULES = (CONFIG, SINGLE)  # of a module of sentence-transformers other than the transformer
CHANGED = "the checkpoint changed, or the catalog names another; if on purpose: glossa catalog refresh NAME"


def weights_sha256(folder: Path) -> str:
    r"""Return the digest of a folder's weights as the catalog stores it, 64 hex digits.

    For one file it is the sha256 of its bytes. For shards it is the sha256 of the text that `sha256sum
    model-*.safetensors` prints in the folder: one line `<hex>  <name>\n` per shard, sorted by name.
    """
    digests = [(_sha256(path), path.name) for path in weight_files(folder)]
    if [name for _, name in digests] == [SINGLE]:
        return digests[0][0]
    listing = "".join(f"{digest}  {name}\n" for digest, name in digests)
    return hashlib.sha256(listing.encode()).hexdigest()


def check_weights(folder: Path, expected_sha256: str) -> None:
    """Raise CheckpointError unless the weights in `folder` have the digest that the catalog names."""
    found = weights_sha256(folder)
    if found != expected_sha256:
        raise CheckpointError(
            f"weights in {folder} have sha256 {found}, the catalog expects {expected_sha256}",
            hint=CHANGED,
        )


def config_sha256(folder: Path) -> str:
    r"""Return the digest of the files that say how the weights are used, 64 hex digits.

    If config.json is the only such file, it is the sha256 of its bytes. Else it is the sha256 of the text that
    `sha256sum` prints for config.json, heads.json, the JSON files of sentence-transformers, the modules beside the
    transformer, and the head for sparse vectors: one line `<hex>  <path>\n` each, sorted by path. Raises
    CheckpointError when there is no config.json.
    """
    named = _described_by(folder)
    if list(named) == [CONFIG]:
        return _sha256(named[CONFIG])
    listing = "".join(f"{_sha256(path)}  {name}\n" for name, path in sorted(named.items()))
    return hashlib.sha256(listing.encode()).hexdigest()


def check_config(folder: Path, expected_sha256: str | None, name: str) -> None:
    """Raise CheckpointError unless the files that describe the model `name` have the digest that the catalog names.

    The same weights give other answers with another configuration (epsilon, activation, positions, pooling). A catalog
    without the digest, or with that of config.json alone, is older than it: the log then says how to add it.
    """
    if expected_sha256 is None:
        _warn(name, f"the catalog has no config_sha256, so {CONFIG} is not checked")
        return
    found = config_sha256(folder)
    if found == expected_sha256:
        return
    described = _described_by(folder)
    if len(described) > 1 and _sha256(next(iter(described.values()))) == expected_sha256:
        _warn(name, f"the catalog's config_sha256 is that of {CONFIG} alone, so {list(described)[1]} is not checked")
        return
    files = CONFIG if len(described) == 1 else f"{CONFIG} and {len(described) - 1} files beside it"
    have = "has" if len(described) == 1 else "have"
    raise CheckpointError(
        f"{files} in {folder} {have} sha256 {found}, the catalog expects {expected_sha256}", hint=CHANGED
    )


def _described_by(folder: Path) -> dict[str, Path]:
    """Return the files that say how the weights are used, by their path in the folder, config.json first."""
    transformer = transformer_folder(folder)
    if not (transformer / CONFIG).is_file():
        raise CheckpointError(f"{transformer} holds no {CONFIG}, expected one beside the weights")
    others = [folder / name for name in module_folders(folder) if name and folder / name != transformer]
    places = [folder / name for name in BESIDE] + [transformer / name for name in BESIDE]
    places += [other / name for other in others for name in OF_MODULES]
    found = [transformer / CONFIG, *(path for path in places if path.is_file())]
    return {path.relative_to(folder).as_posix(): path for path in found}


def _warn(name: str, what: str) -> None:
    reason = f"{what}; add it: glossa catalog refresh {name}"
    log_event("config-unchecked", level="warning", stream=sys.stderr, model=name, reason=reason)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
