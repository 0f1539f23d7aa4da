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

from serve.checkpoints.fetch import _other_modules, fetch
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
    assert fetch("s3://weights/models/tiny/", tmp_path, download_folder=tmp_path / "cache") == first
    assert fetch("s3://weights/models/tiny", tmp_path, download_folder=tmp_path / "cache") == first
    s3.put_object(Bucket="weights", Key="models/tiny/config.json", Body=b"{}")
    assert fetch("s3://weights/models/tiny", tmp_path, download_folder=tmp_path / "cache") != first


def test_s3_brings_modules_and_shards_of_any_name(s3: Any, tmp_path: Path) -> None:
    """The folders of modules come along, and shards by the names of the index; other folders stay where they are."""
    index = b'{"weight_map": {"a": "part_a.safetensors"}}'
    wanted = {
        "config.json": b"{}", "modules.json": b"[]", f"{SINGLE}.index.json": index, "part_a.safetensors": b"x",
        "1_Pooling/config.json": b"{}", "0_Transformer/tokenizer.json": b"{}", "my-pooling/config.json": b"{}",
        "sentence_xlm-roberta_config.json": b"{}",
    }  # fmt: skip
    wanted["modules.json"] = b'[{"path": ""}, {"path": "my-pooling"}]'
    for name, body in {**wanted, "onnx/model.onnx": b"x", "my-pooling/notes.bin": b"x"}.items():
        s3.put_object(Bucket="weights", Key=f"models/st/{name}", Body=body)
    folder = fetch("s3://weights/models/st", tmp_path)
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == wanted


def test_no_module_leads_out_of_the_prefix(s3: Any, tmp_path: Path) -> None:
    """A modules.json that names another place brings nothing from there; whoever reads the folder refuses it."""
    files = {"st/modules.json": b'[{"path": "../other"}]', f"st/{SINGLE}": b"x", "other/config.json": b"{}"}
    for name, body in files.items():
        s3.put_object(Bucket="weights", Key=f"models/{name}", Body=body)
    folder = fetch("s3://weights/models/st", tmp_path)
    assert sorted(path.name for path in folder.rglob("*")) == [SINGLE, "modules.json"]


def test_modules_of_any_name_are_asked_for(tmp_path: Path) -> None:
    """Those that a first look at the hub did not bring, once modules.json says their names."""
    (tmp_path / "modules.json").write_text('[{"path": "body"}, {"path": "here"}, {"path": "2_Normalize"}]')
    (tmp_path / "here").mkdir()
    assert _other_modules(tmp_path, [SINGLE, f"1_*/{SINGLE}"]) == [f"body/{SINGLE}"]
    (tmp_path / "modules.json").write_text('[{"path": "body/.."}]')
    assert _other_modules(tmp_path, [SINGLE]) == []


def test_s3_brings_pickles_for_a_conversion_alone(s3: Any, tmp_path: Path) -> None:
    """Else the error says how to convert."""
    for name in ("config.json", "pytorch_model.bin", "optimizer.pt"):
        s3.put_object(Bucket="weights", Key=f"models/old/{name}", Body=b"{}")
    with pytest.raises(CheckpointError, match=r"holds pytorch_model\.bin but no") as refused:
        fetch("s3://weights/models/old", tmp_path)
    assert str(refused.value.hint) == "convert it: glossa catalog add s3://weights/models/old --name NAME --convert"
    folder = fetch("s3://weights/models/old", tmp_path, with_pickles=True)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "pytorch_model.bin"]


PINNED_AT = "models/tiny/0123456789abcdef0123456789abcdef"


def _upload_by_parts(client: Any, folder: Path, prefix: str) -> None:
    """Upload each file in parts. Its entity tag is then no digest of its bytes, and not that of a plain upload."""
    for path in folder.iterdir():
        place = {"Bucket": "weights", "Key": f"{prefix}/{path.name}"}
        upload = client.create_multipart_upload(**place)["UploadId"]
        part = client.upload_part(**place, UploadId=upload, PartNumber=1, Body=path.read_bytes())
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload=parts)


def test_the_same_bytes_with_other_entity_tags_are_not_fetched_again(s3: Any, checkpoint: Path, tmp_path: Path) -> None:
    """A prefix with a digest keeps its folder when the tags change, as under SSE-KMS. Any other has only its tags."""
    for prefix, is_kept in ((PINNED_AT, True), ("models/tiny", False)):
        _upload(s3, checkpoint, prefix)
        before = s3.head_object(Bucket="weights", Key=f"{prefix}/{SINGLE}")["ETag"]
        first = fetch(f"s3://weights/{prefix}", tmp_path)
        _upload_by_parts(s3, checkpoint, prefix)
        assert s3.head_object(Bucket="weights", Key=f"{prefix}/{SINGLE}")["ETag"] != before
        assert (fetch(f"s3://weights/{prefix}", tmp_path) == first) is is_kept


def test_a_prefix_with_a_digest_that_is_half_uploaded_makes_a_folder_of_its_own(
    s3: Any, checkpoint: Path, tmp_path: Path
) -> None:
    """A file that came later, or with another size, is not missed."""
    s3.upload_file(str(checkpoint / SINGLE), "weights", f"{PINNED_AT}/{SINGLE}")
    half = fetch(f"s3://weights/{PINNED_AT}", tmp_path)
    _upload(s3, checkpoint, PINNED_AT)
    whole = fetch(f"s3://weights/{PINNED_AT}", tmp_path)
    assert [sorted(path.name for path in each.iterdir()) for each in (half, whole)] == [
        [SINGLE],
        ["config.json", SINGLE],
    ]


@pytest.fixture
def states(s3: Any, checkpoint: Path, tmp_path: Path) -> list[Path]:
    """Fetch three states of a model, an hour apart; between the second and the third, use the first again."""
    found = []
    for number, turn in enumerate((0, 1, 0, 2)):
        _upload(s3, checkpoint, f"models/tiny/{turn:032}")
        found.append(fetch(f"s3://weights/models/tiny/{turn:032}", tmp_path))
        if number < 3:
            os.utime(found[-1], (number * 3600, number * 3600))
    return [found[0], found[1], found[3]]


def test_all_but_the_two_states_that_were_used_last_are_removed(states: list[Path]) -> None:
    """The volume does not fill. The state that a replica used last beside the new one stays, though it is older."""
    assert [path.is_dir() for path in states] == [True, False, True]
    assert sorted(states[0].parent.iterdir()) == sorted([states[0], states[2]])


def test_the_states_of_another_model_stay(s3: Any, checkpoint: Path, tmp_path: Path, states: list[Path]) -> None:
    """Each model keeps its own two."""
    _upload(s3, checkpoint, "models/other/" + "f" * 32)
    other = fetch("s3://weights/models/other/" + "f" * 32, tmp_path)
    assert [path.is_dir() for path in (*states, other)] == [True, False, True, True]


def test_an_unfinished_download_is_removed_after_a_day(s3: Any, checkpoint: Path, tmp_path: Path) -> None:
    """One that may still go on stays."""
    _upload(s3, checkpoint, PINNED_AT)
    model = fetch(f"s3://weights/{PINNED_AT}", tmp_path).parent
    for name in ("partial-old", "partial-new"):
        (model / name).mkdir()
    os.utime(model / "partial-old", (0, 0))
    _upload(s3, checkpoint, "models/tiny/" + "f" * 32)
    fetch("s3://weights/models/tiny/" + "f" * 32, tmp_path)
    assert sorted(path.name for path in model.glob("partial-*")) == ["partial-new"]


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


def test_a_missing_revision_without_a_network_is_an_error(checkpoint: Path, tmp_path: Path) -> None:
    """A revision that is neither cached nor reachable is a CheckpointError; of a cached one, files may be missing."""
    shutil.copytree(checkpoint, tmp_path / "models--org--part" / "snapshots" / REVISION)
    code = (
        "import sys; from pathlib import Path\n"
        "from serve.checkpoints.fetch import fetch; from serve.checkpoints.read import CheckpointError\n"
        f"fetch('hub:org/part@{REVISION}', Path('.'), download_folder=Path(sys.argv[1]), asks_hub=True)\n"
        f"try: fetch('hub:org/tiny@{REVISION}', Path('.'), download_folder=Path(sys.argv[1]))\n"
        "except CheckpointError as error: print(error.message)"
    )
    environ = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, env=environ, check=True
    )
    assert "the hub cannot be reached" in done.stdout
    assert "is read from the local cache alone; files that it lacks, such as modules.json" in done.stderr
