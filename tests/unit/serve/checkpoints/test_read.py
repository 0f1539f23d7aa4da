"""Weights: where checkpoints come from, how they are proven, what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import torch
from moto import mock_aws
from safetensors.torch import save_file

from serve.checkpoints.read import (
    INDEX,
    SINGLE,
    CheckpointError,
    check_weights,
    fetch,
    read_tensors,
    tensor_shapes,
    weight_files,
    weights_sha256,
)
from tests.checkpoints import draw, write

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write one small checkpoint."""
    return write(draw("XLMRobertaForTokenClassification"), tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """Write two shards and their index."""
    save_file({"a": torch.ones(2)}, tmp_path / "model-00001-of-00002.safetensors")
    save_file({"b": torch.zeros(3, 4)}, tmp_path / "model-00002-of-00002.safetensors")
    _index(tmp_path, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    return tmp_path


def _index(folder: Path, a: str, b: str) -> None:
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": {"a": a, "b": b}}))


def test_a_folder_is_found_beside_the_catalog(checkpoint: Path) -> None:
    """A folder reference is relative to the catalog's folder."""
    assert fetch(checkpoint.name, checkpoint.parent) == checkpoint


def test_the_digest_of_one_file_is_its_sha256(checkpoint: Path) -> None:
    """One file has the sha256 of its bytes, and passes the check under it alone."""
    expected = hashlib.sha256((checkpoint / SINGLE).read_bytes()).hexdigest()
    assert weights_sha256(checkpoint) == expected
    check_weights(checkpoint, expected)
    with pytest.raises(CheckpointError, match=f"have sha256 {expected}, the catalog expects 000"):
        check_weights(checkpoint, "0" * 64)


def test_the_digest_of_shards_is_that_of_the_sha256sum_listing(sharded: Path) -> None:
    """Shards have the digest that `sha256sum model-*.safetensors | sha256sum` prints."""
    names = [path.name for path in weight_files(sharded)]
    listing = "".join(f"{hashlib.sha256((sharded / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    assert weights_sha256(sharded) == hashlib.sha256(listing.encode()).hexdigest()


def test_shards_read_as_one(sharded: Path) -> None:
    """Tensors are found in whichever shard holds them; absent names are left out."""
    assert tensor_shapes(sharded) == {"a": (2,), "b": (3, 4)}
    tensors = read_tensors(sharded, {"b", "c"})
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {"b": torch.zeros(3, 4).tolist()}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../secret.safetensors", "names '../secret.safetensors', expected names such as"),
        ("/etc/passwd", "names '/etc/passwd'"),
        ("model-00009-of-00002.safetensors", "which is not in"),
    ],
)
def test_an_index_names_files_of_its_folder_alone(sharded: Path, name: str, said: str) -> None:
    """An index that points outside the folder or at nothing is refused."""
    _index(sharded, "model-00001-of-00002.safetensors", name)
    with pytest.raises(CheckpointError, match=said):
        weight_files(sharded)


def test_a_pickle_is_refused_with_a_way_forward(tmp_path: Path) -> None:
    """A checkpoint of pickles alone is refused by name, and the hint says how to convert it."""
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02.")
    with pytest.raises(
        CheckpointError, match=r"pytorch_model\.bin but no model\.safetensors; pickles are never"
    ) as caught:
        weights_sha256(tmp_path)
    assert "save_pretrained" in str(caught.value.hint)


@pytest.mark.parametrize("data", [b"", b"\xff" * 64, b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_broken_file_is_named(tmp_path: Path, data: bytes) -> None:
    """Bytes that are not safetensors are an error that names the file, or hold no tensor."""
    (tmp_path / SINGLE).write_bytes(data)
    try:
        assert tensor_shapes(tmp_path) == {}
    except CheckpointError as error:
        assert SINGLE in error.message  # noqa: PT017 - either outcome is right


def test_integers_are_no_weights(tmp_path: Path) -> None:
    """Quantized tensors are refused by name; stored index buffers are not."""
    save_file({"embeddings.position_ids": torch.arange(3), "w": torch.ones(2, dtype=torch.int8)}, tmp_path / SINGLE)
    with pytest.raises(CheckpointError, match="tensor w is I8, expected one of"):
        tensor_shapes(tmp_path)


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
    """Unpinned, partial or absent references are refused before anything is fetched."""
    with pytest.raises(CheckpointError, match=said):
        fetch(reference, tmp_path)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Stand in for S3, with an empty bucket."""
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
    """The same objects are downloaded once; a changed object is a new folder, and the old one stays."""
    _upload(s3, checkpoint, "models/tiny")
    s3.put_object(Bucket="weights", Key="models/tiny/notes.txt", Body=b"not wanted")
    first = fetch("s3://weights/models/tiny", tmp_path, cache=tmp_path / "cache")
    assert sorted(path.name for path in first.iterdir()) == ["config.json", SINGLE]
    assert weights_sha256(first) == weights_sha256(checkpoint)
    assert fetch("s3://weights/models/tiny/", tmp_path, cache=tmp_path / "cache") != tmp_path
    assert fetch("s3://weights/models/tiny", tmp_path, cache=tmp_path / "cache") == first
    s3.put_object(Bucket="weights", Key="models/tiny/config.json", Body=b"{}")
    assert fetch("s3://weights/models/tiny", tmp_path, cache=tmp_path / "cache") != first


def test_s3_without_weights_is_refused(s3: Any, tmp_path: Path) -> None:
    """An empty prefix, one of pickles, and a bucket that does not exist are each said plainly."""
    s3.put_object(Bucket="weights", Key="old/pytorch_model.bin", Body=b".")
    for reference, said in [
        ("s3://weights/none", "holds no model.safetensors"),
        ("s3://weights/old", "holds pytorch_model.bin but no"),
        ("s3://elsewhere/x", "cannot be fetched"),
    ]:
        with pytest.raises(CheckpointError, match=said):
            fetch(reference, tmp_path, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_the_hub_is_read_from_its_local_cache(checkpoint: Path, tmp_path: Path) -> None:
    """A pinned revision that is cached needs no network."""
    snapshot = tmp_path / "models--org--tiny" / "snapshots" / REVISION
    shutil.copytree(checkpoint, snapshot)
    assert fetch(f"hub:org/tiny@{REVISION}", tmp_path, cache=tmp_path) == snapshot


def test_an_absent_revision_without_a_network_is_said_plainly(tmp_path: Path) -> None:
    """A revision that is neither cached nor to be had is a CheckpointError."""
    code = (
        "import sys; from pathlib import Path; from serve.checkpoints.read import *\n"
        f"try: fetch('hub:org/tiny@{REVISION}', Path('.'), cache=Path(sys.argv[1]))\n"
        "except CheckpointError as error: print(error.message)"
    )
    environ = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, env=environ, check=True
    )
    assert "the hub cannot be reached" in done.stdout
