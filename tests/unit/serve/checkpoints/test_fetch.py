"""Checkpoints are fetched from a folder, the hub's cache or S3; malformed references are refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from serve.checkpoints.fetch import fetch
from serve.checkpoints.read import SINGLE, CheckpointError
from serve.checkpoints.verify import check_config, config_sha256, weights_sha256

REVISION = "0123456789abcdef0123456789abcdef01234567"


def test_a_folder_is_found_beside_the_catalog(checkpoint: Path) -> None:
    """A folder reference is relative to the catalog's folder."""
    assert fetch(checkpoint.name, checkpoint.parent) == checkpoint


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("nowhere", r"expected a folder \(also below"),
        ("hub:org/name@main", "expected hub:name@revision with a commit of 40 hex digits"),
        ("hub:org/name", "40 hex digits"),
        ("hub:../../etc@" + "a" * 40, "expected hub:name@revision"),
        ("s3://bucket", "expected s3://bucket/prefix"),
        ("s3://bucket/", "expected s3://bucket/prefix"),
    ],
)
def test_a_reference_says_exactly_what_it_means(reference: str, said: str, tmp_path: Path) -> None:
    """References that are unpinned, incomplete or missing are refused before anything is fetched."""
    with pytest.raises(CheckpointError, match=said):
        fetch(reference, tmp_path)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Replace S3 by an empty bucket in memory."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="weights")
        yield client


def _upload(client: Any, folder: Path, prefix: str) -> None:
    for path in folder.iterdir():
        client.upload_file(str(path), "weights", f"{prefix}/{path.name}")


def test_s3_is_fetched_once_for_each_state(s3: Any, checkpoint: Path, tmp_path: Path) -> None:
    """The same objects are downloaded once. A changed object makes a new folder, and the old folder stays."""
    _upload(s3, checkpoint, "models/tiny")
    s3.put_object(Bucket="weights", Key="models/tiny/notes.txt", Body=b"not wanted")
    first = fetch("s3://weights/models/tiny", tmp_path, download_folder=tmp_path / "cache")
    assert sorted(path.name for path in first.iterdir()) == ["config.json", SINGLE]
    assert weights_sha256(first) == weights_sha256(checkpoint)
    assert fetch("s3://weights/models/tiny/", tmp_path, download_folder=tmp_path / "cache") != tmp_path
    assert fetch("s3://weights/models/tiny", tmp_path, download_folder=tmp_path / "cache") == first
    s3.put_object(Bucket="weights", Key="models/tiny/config.json", Body=b"{}")
    assert fetch("s3://weights/models/tiny", tmp_path, download_folder=tmp_path / "cache") != first


def test_a_config_that_changed_in_s3_is_refused(s3: Any, checkpoint: Path, tmp_path: Path) -> None:
    """The same weights with another config.json are fetched, and refused by its digest."""
    expected = config_sha256(checkpoint)
    _upload(s3, checkpoint, "models/toy")
    reference = "s3://weights/models/toy"
    check_config(fetch(reference, tmp_path), expected, "toy")
    s3.put_object(Bucket="weights", Key="models/toy/config.json", Body=b"{}")
    with pytest.raises(CheckpointError, match=f"the catalog expects {expected}"):
        check_config(fetch(reference, tmp_path), expected, "toy")


def test_s3_without_weights_is_refused(s3: Any, tmp_path: Path) -> None:
    """An empty prefix, a prefix of pickles and a bucket that does not exist each have a clear error."""
    s3.put_object(Bucket="weights", Key="old/pytorch_model.bin", Body=b".")
    for reference, said in [
        ("s3://weights/none", "holds no model.safetensors"),
        ("s3://weights/old", "holds pytorch_model.bin but no"),
        ("s3://elsewhere/x", "cannot be fetched"),
    ]:
        with pytest.raises(CheckpointError, match=said):
            fetch(reference, tmp_path, download_folder=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_the_hub_is_read_from_its_local_cache(checkpoint: Path, tmp_path: Path) -> None:
    """A pinned revision in the cache needs no network."""
    snapshot = tmp_path / "models--org--tiny" / "snapshots" / REVISION
    shutil.copytree(checkpoint, snapshot)
    assert fetch(f"hub:org/tiny@{REVISION}", tmp_path, download_folder=tmp_path) == snapshot


def test_a_missing_revision_without_a_network_is_an_error(tmp_path: Path) -> None:
    """A revision that is neither cached nor reachable is a CheckpointError."""
    code = (
        "import sys; from pathlib import Path\n"
        "from serve.checkpoints.fetch import fetch; from serve.checkpoints.read import CheckpointError\n"
        f"try: fetch('hub:org/tiny@{REVISION}', Path('.'), download_folder=Path(sys.argv[1]))\n"
        "except CheckpointError as error: print(error.message)"
    )
    environ = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, env=environ, check=True
    )
    assert "the hub cannot be reached" in done.stdout
