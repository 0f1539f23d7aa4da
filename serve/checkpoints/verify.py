"""Compares the digest of a checkpoint's weights with the digest in the catalog.

It must not know where a checkpoint came from, or what its tensors mean.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from serve.checkpoints.read import SINGLE, CheckpointError, weight_files


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
            hint="the checkpoint changed, or the catalog names another; if on purpose: glossa catalog refresh NAME",
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
