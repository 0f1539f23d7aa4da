"""Checks that `glossa weights push` copies no checkpoint that the catalog does not describe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glossa.cli import main
from tests.account_in_memory import REGION, weights_bucket
from tests.account_in_memory import WEIGHTS_BUCKET as BUCKET
from tests.unit.template import ROOT


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a client of an account in memory, with an empty bucket."""
    with weights_bucket(monkeypatch) as client:
        yield client


def test_weights_that_the_catalog_does_not_describe_are_not_copied(
    bucket: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights with another digest end the command with a way forward, and nothing is in the bucket."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("model.safetensors", "config.json"):
        (folder / name).write_bytes(b"changed")
    text = (ROOT / "catalog.toml").read_text(encoding="utf-8").replace('"checkpoints/mini"', '"model"')
    (tmp_path / "catalog.toml").write_text(text, encoding="utf-8")
    words = ["--catalog", str(tmp_path / "catalog.toml"), "--bucket", BUCKET, "--region", REGION]
    assert main(["weights", "push", *words, "--out", str(tmp_path / "out.toml")]) == 2
    assert "the catalog expects" in capsys.readouterr().err
    assert "Contents" not in bucket.list_objects_v2(Bucket=BUCKET)
