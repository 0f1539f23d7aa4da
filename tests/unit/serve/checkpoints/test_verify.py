"""The digest of a checkpoint's weights, and the error when the catalog has another."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from serve.checkpoints.read import SINGLE, CheckpointError, weight_files
from serve.checkpoints.verify import check_weights, weights_sha256


def test_the_digest_of_one_file_is_its_sha256(checkpoint: Path) -> None:
    """The digest of one file is the sha256 of its bytes. Only that digest passes the check."""
    expected = hashlib.sha256((checkpoint / SINGLE).read_bytes()).hexdigest()
    assert weights_sha256(checkpoint) == expected
    check_weights(checkpoint, expected)
    with pytest.raises(CheckpointError, match=f"have sha256 {expected}, the catalog expects 000"):
        check_weights(checkpoint, "0" * 64)


def test_the_digest_of_shards_is_that_of_the_sha256sum_listing(sharded: Path) -> None:
    """The digest of shards is what `sha256sum model-*.safetensors | sha256sum` prints."""
    names = [path.name for path in weight_files(sharded)]
    listing = "".join(f"{hashlib.sha256((sharded / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    assert weights_sha256(sharded) == hashlib.sha256(listing.encode()).hexdigest()
