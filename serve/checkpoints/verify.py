"""Compares the digests of a checkpoint's weights and of its config.json with those in the catalog.

It must not know where a checkpoint came from, or what its tensors mean.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from serve.checkpoints.read import SINGLE, CheckpointError, weight_files
from shared.log import log_event

CONFIG = "config.json"
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
    """Return the sha256 of the bytes of config.json. Raises CheckpointError when there is none."""
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"{folder} holds no {CONFIG}, expected one beside the weights")
    return _sha256(folder / CONFIG)


def check_config(folder: Path, expected_sha256: str | None, name: str) -> None:
    """Raise CheckpointError unless config.json of the model `name` has the digest that the catalog names.

    The same weights give other answers with another configuration (epsilon, activation, positions). A catalog without
    the digest is older than it: the log then says how to add it.
    """
    if expected_sha256 is None:
        reason = f"the catalog has no config_sha256, so {CONFIG} is not checked; add it: glossa catalog refresh {name}"
        log_event("config-unchecked", level="warning", stream=sys.stderr, model=name, reason=reason)
        return
    found = config_sha256(folder)
    if found != expected_sha256:
        raise CheckpointError(
            f"{CONFIG} in {folder} has sha256 {found}, the catalog expects {expected_sha256}", hint=CHANGED
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
