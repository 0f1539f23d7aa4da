"""Checks that checkpoints reach the bucket, and that replicas get a catalog that names it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glossa.deployment.programs.weights import deployed_catalog, files_of, key_prefix, mirror, push
from serve.checkpoints.fetch import PINNED, fetch_head
from shared.catalog import load_catalog, parse_catalog
from tests.account_in_memory import REGION, weights_bucket
from tests.account_in_memory import WEIGHTS_BUCKET as BUCKET

ROOT = Path(__file__).parents[5]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a client of an account in memory, with an empty bucket."""
    with weights_bucket(monkeypatch) as client:
        yield client


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Make a catalog whose one checkpoint is a folder with a few bytes; return its path."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("model.safetensors", "config.json", "tokenizer.json", "pytorch_model.bin", "optimizer.pt"):
        (folder / name).write_bytes(name.encode())
    text = (ROOT / "catalog.toml").read_text(encoding="utf-8").replace('"checkpoints/mini"', '"model"')
    (tmp_path / "catalog.toml").write_text(text, encoding="utf-8")
    return tmp_path / "catalog.toml"


def test_the_replicas_catalog_differs_in_its_checkpoints_alone(bucket: Any, small: Path, tmp_path: Path) -> None:
    """The catalog that is deployed names the bucket, and the rest of it is what the reader wrote."""
    out = tmp_path / "out" / "catalog.toml"
    key = push(small, BUCKET, REGION, out, lambda _: None)
    assert bucket.get_object(Bucket=BUCKET, Key=key)["Body"].read() == out.read_bytes()
    model = load_catalog(out).model("mini")
    assert PINNED.fullmatch(model.checkpoint.removeprefix(f"s3://{BUCKET}/"))
    assert model.model_copy(update={"checkpoint": "model"}) == load_catalog(small).model("mini")
    keys = [item["Key"] for item in bucket.list_objects_v2(Bucket=BUCKET, Prefix="models/")["Contents"]]
    assert sorted(key.rsplit("/", 1)[1] for key in keys) == ["config.json", "model.safetensors", "tokenizer.json"]


def test_a_head_that_was_trained_apart_is_copied_without_its_backbone(bucket: Any, small: Path, tmp_path: Path) -> None:
    """The replicas' catalog names its key, from which a replica fetches the head's file and nothing else."""
    (tmp_path / "mine").mkdir()
    for name in ("head.safetensors", "backbone.safetensors", "config.json"):
        (tmp_path / "mine" / name).write_bytes(name.encode())
    facts = f'task = "text-classification"\ncheckpoint = "mine"\nweights_sha256 = "{"a" * 64}"\n'
    with small.open("a", encoding="utf-8") as file:
        file.write(f"\n[models.mini.heads.mine]\n{facts}")
    push(small, BUCKET, REGION, tmp_path / "out.toml", lambda _: None)
    head = load_catalog(tmp_path / "out.toml").model("mini").heads["mine"]
    assert head.checkpoint == f"s3://{BUCKET}/models/mini/heads/mine/{'a' * 32}"
    assert PINNED.fullmatch(head.checkpoint.removeprefix(f"s3://{BUCKET}/"))
    folder = fetch_head(head.checkpoint, tmp_path)
    assert [path.name for path in folder.iterdir()] == ["head.safetensors"]


def test_what_is_there_is_not_sent_again(bucket: Any, small: Path, tmp_path: Path) -> None:
    """A second deployment uploads nothing, and says so. So no entity tag changes, which under SSE-KMS it would."""
    said: list[str] = []
    key = push(small, BUCKET, REGION, tmp_path / "a.toml", lambda _: None)
    written = written_at(bucket, key)
    assert push(small, BUCKET, REGION, tmp_path / "b.toml", said.append) == key
    assert said[0] == "weights of mini: 0 of 3 files copied, the others are there"
    assert written_at(bucket, key) == written


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "heads.json"])
def test_a_changed_file_beside_the_weights_overwrites_nothing(
    bucket: Any, small: Path, tmp_path: Path, name: str
) -> None:
    """Another config, tokenizer or heads of the same size go to another key. What a replica reads stays."""
    (small.parent / "model" / name).write_bytes(b"old")
    push(small, BUCKET, REGION, tmp_path / "a.toml", lambda _: None)
    (small.parent / "model" / name).write_bytes(b"new")
    push(small, BUCKET, REGION, tmp_path / "b.toml", lambda _: None)
    places = [load_catalog(tmp_path / out).model("mini").checkpoint for out in ("a.toml", "b.toml")]
    held = [bucket.get_object(Bucket=BUCKET, Key=f"{at.removeprefix(f's3://{BUCKET}/')}/{name}") for at in places]
    assert [each["Body"].read() for each in held] == [b"old", b"new"]


def test_each_digest_of_the_catalog_is_part_of_the_key(small: Path) -> None:
    """Other weights, another config and another tokenizer each have a key of their own."""
    model = load_catalog(small).model("mini")
    changed = [model.model_copy(update={f"{part}_sha256": "0" * 64}) for part in ("weights", "config", "tokenizer")]
    assert len({key_prefix(each, []) for each in (model, *changed)}) == 4


def written_at(client: Any, *keys: str) -> list[Any]:
    """Return when the objects of the bucket were written, in the order of their keys."""
    found = client.list_objects_v2(Bucket=BUCKET)["Contents"]
    assert set(keys) <= {item["Key"] for item in found}
    return [client.list_object_versions(Bucket=BUCKET, Prefix=item["Key"])["Versions"] for item in found]


def test_half_uploaded_weights_are_sent_again(bucket: Any, small: Path, tmp_path: Path) -> None:
    """An object of another size is not taken for the weights."""
    push(small, BUCKET, REGION, tmp_path / "a.toml", lambda _: None)
    key = next(i["Key"] for i in bucket.list_objects_v2(Bucket=BUCKET)["Contents"] if "safetensors" in i["Key"])
    bucket.put_object(Bucket=BUCKET, Key=key, Body=b"half")
    push(small, BUCKET, REGION, tmp_path / "b.toml", lambda _: None)
    assert bucket.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"model.safetensors"


def test_pickles_never_reach_the_bucket(small: Path) -> None:
    """Only safetensors and the files that describe them are copied; the weights come last."""
    assert [path.name for path in files_of(small.parent / "model")] == [
        "config.json",
        "tokenizer.json",
        "model.safetensors",
    ]


def test_the_folders_of_modules_are_copied(small: Path) -> None:
    """What says how vectors are pooled has the same path in the bucket. Other folders are left out."""
    model = small.parent / "model"
    for name in ("1_Pooling/config.json", "onnx/config.json", "body/config.json"):
        (model / name).parent.mkdir()
        (model / name).write_text("{}")
    (model / "modules.json").write_text('[{"path": "body"}, {"path": "1_Pooling"}]')
    keys: list[str] = []
    mirror(load_catalog(small), lambda _: model, lambda _, key: bool(keys.append(key)), lambda _: None)
    found = [key.split("/", 3)[-1] for key in keys if "config.json" in key]
    assert found == ["1_Pooling/config.json", "body/config.json", "config.json"]


def test_a_copy_that_fails_writes_no_catalog(small: Path) -> None:
    """An upload that breaks off ends the step; no model is named as copied."""

    def broken(_: Path, __: str) -> bool:
        raise OSError("the connection broke")

    with pytest.raises(OSError, match="the connection broke"):
        mirror(load_catalog(small), lambda _: small.parent / "model", broken, lambda _: None)


def test_comments_of_the_catalog_stay() -> None:
    """The catalog keeps its comments and its order."""
    text = (ROOT / "catalog.toml").read_text(encoding="utf-8")
    changed = deployed_catalog(text, BUCKET, {"mini": "models/mini/1"})
    assert changed.splitlines()[0] == text.splitlines()[0]
    assert parse_catalog(changed).model("mini").checkpoint == "s3://weights/models/mini/1"
