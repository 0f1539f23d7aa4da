"""What decides whether the local stack is built again, and how failures of the tools are shown."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from local import build
from local.workspace import ROOT, Workspace


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Make a checkout of four small files."""
    (tmp_path / "functions").mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "functions" / "a.py").write_text("1")
    (tmp_path / "shared" / "b.py").write_text("2")
    (tmp_path / "template.yaml").write_text("3")
    (tmp_path / "catalog.toml").write_text("4")
    return tmp_path


@pytest.mark.parametrize("name", ["functions/a.py", "shared/b.py", "template.yaml", "catalog.toml"])
def test_any_change_of_a_source_changes_the_digest(checkout: Path, name: str) -> None:
    """One byte more in the template, the code or the catalog, and the stack is built again."""
    before = build.digest(checkout)
    (checkout / name).write_text("x")
    assert build.digest(checkout) != before


def test_new_artifacts_change_the_digest(checkout: Path) -> None:
    """A tokenizer that was built for the first time is a change."""
    before = build.digest(checkout)
    (checkout / "build" / "artifacts" / "mini").mkdir(parents=True)
    (checkout / "build" / "artifacts" / "mini" / "tokenizer.json").write_text("{}")
    assert build.digest(checkout) != before


def test_what_no_package_holds_does_not_change_the_digest(checkout: Path) -> None:
    """Byte code and the model side are not part of a package."""
    before = build.digest(checkout)
    (checkout / "functions" / "__pycache__").mkdir()
    (checkout / "functions" / "__pycache__" / "a.pyc").write_text("x")
    (checkout / "serve").mkdir()
    (checkout / "serve" / "c.py").write_text("x")
    assert build.digest(checkout) == before


def test_moving_bytes_between_files_changes_the_digest(checkout: Path) -> None:
    """The digest covers names and lengths, so two different trees never have the same one."""
    before = build.digest(checkout)
    (checkout / "functions" / "a.py").write_text("")
    (checkout / "shared" / "b.py").write_text("12")
    assert build.digest(checkout) != before


def test_a_failing_tool_is_quoted(tmp_path: Path) -> None:
    """When sam fails, the error holds its last lines."""
    sam = tmp_path / ".venv-sam" / "bin" / "sam"
    sam.parent.mkdir(parents=True)
    sam.write_text("#!/bin/sh\necho no such template\nexit 3\n")
    sam.chmod(0o755)
    with pytest.raises(RuntimeError, match="sam build failed:\nno such template"):
        build.sam(Workspace(tmp_path, tmp_path / "home"), ["build"], {}, 10.0)


@pytest.mark.parametrize("there", [True, False])
def test_no_package_is_built_without_its_tokenizers(tmp_path: Path, *, there: bool) -> None:
    """A function that could not start is refused when it is built, and not only when it is called."""
    package, built = tmp_path / "package", tmp_path / "build"
    package.mkdir()
    if there:
        (built / "artifacts" / "mini").mkdir(parents=True)
    names = [f"ARTIFACTS_DIR={package}", f"BUILD={built}", "GLOSSA_TARGET=lambda"]
    command = ["make", "-s", "-C", str(ROOT / "functions"), "build-InferFunction", *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode == 0) is there
    assert (package / "artifacts" / "mini").is_dir() is there
    assert ("no tokenizers" in done.stderr) is not there
