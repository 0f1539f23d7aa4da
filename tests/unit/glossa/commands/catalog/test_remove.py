"""`glossa catalog remove` takes one entry away, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from glossa.cli import main
from glossa.commands.catalog.remove import remove
from shared.catalog import load_catalog


@pytest.fixture
def own(catalog_path: Path, tmp_path: Path) -> Path:
    """Copy the catalog with a comment in front of each model."""
    text = catalog_path.read_text(encoding="utf-8")
    for name in ("moods", "people"):
        text = text.replace(f"[models.{name}]\n", f"# about {name}\n[models.{name}] # {name}\n")
    (tmp_path / "catalog.toml").write_text(text, encoding="utf-8")
    return tmp_path / "catalog.toml"


def test_the_rest_keeps_its_lines(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every line of the other model stays, with its comments. The folder is named and not touched."""
    kept = own.read_text(encoding="utf-8").partition("# people\n")[2]
    removed = own.with_name("other.toml")
    shutil.copy(own, removed)
    assert main(["catalog", "remove", "moods", "--default", "people", "--catalog", str(removed)]) == 0
    assert "its checkpoint models/moods is as it was" in capsys.readouterr().err
    text = removed.read_text(encoding="utf-8")
    assert text.partition("# people\n")[2] == kept
    assert "[models.moods" not in text
    assert load_catalog(removed).default_model == "people"
    remove(own, "people")
    assert list(load_catalog(own).models) == ["moods"]
    assert "# about moods" in own.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["moods"], "moods is the default model, expected --default with another one: ['people']"),
        (["moods", "--default", "moods"], "got --default 'moods', expected one of ['people']"),
        (["nobody"], "no model 'nobody'; models: ['moods', 'people']"),
    ],
)
def test_a_catalog_keeps_a_default_model(
    own: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The default model goes only when another takes its place; a mistake changes nothing."""
    before = own.read_bytes()
    assert main(["catalog", "remove", *arguments, "--catalog", str(own)]) == 2
    assert message in capsys.readouterr().err
    assert own.read_bytes() == before


def test_the_only_model_stays(own: Path) -> None:
    """A catalog without a model is none."""
    remove(own, "people")
    with pytest.raises(ValueError, match="moods is the only model of"):
        remove(own, "moods")
