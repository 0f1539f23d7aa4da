"""Which changes end a running Ray Serve and start it again, and which it follows. No server is started here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from local.model_server import LOADED, can_follow, is_outdated, to_load
from local.ray_workspace import Ingress
from local.workspace import Workspace, write_json

PACKAGES = ".venv/lib/python3.11/site-packages"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Make a checkout with two lines of code, a catalog and a package, whose server was started with both."""
    for path, text in [("serve/a.py", "A = 1\n"), ("shared/b.py", "B = 2\n"), ("catalog.toml", "# café\n"),
                       ("requirements/venv.txt", "torch==1\n")]:  # fmt: skip
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    (tmp_path / PACKAGES / "torch-1.dist-info").mkdir(parents=True)
    made = Workspace(tmp_path, tmp_path / "home")
    made.run.mkdir(parents=True, exist_ok=True)
    write_json(made.run / LOADED, _now(made))
    return made


def _now(workspace: Workspace, engine: str = "packed") -> dict[str, str]:
    return to_load(workspace.root, workspace.root / "catalog.toml", engine, "python")


def test_an_unchanged_server_keeps_running(workspace: Workspace) -> None:
    """It is not ended when nothing changed, or only files that it does not load."""
    (workspace.root / "README.md").write_text("new", encoding="utf-8")
    assert not is_outdated(workspace, _now(workspace))


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "serve" / "a.py").write_text("A = 2\n"),
        lambda root: (root / "shared" / "c.py").write_text("\n"),
        lambda root: (root / "shared" / "b.py").unlink(),
        lambda root: (root / "catalog.toml").write_text("# other\n"),
        lambda root: (root / "requirements" / "venv.txt").write_text("torch==2\n"),
        lambda root: (root / PACKAGES / "torch-1.dist-info").rename(root / PACKAGES / "torch-2.dist-info"),
        lambda root: (root / PACKAGES / "new-1.dist-info").mkdir(),
    ],
    ids=["code", "new file", "file gone", "catalog", "lock", "package", "new package"],
)
def test_new_code_catalog_or_packages_end_it(workspace: Workspace, change: Callable[[Path], object]) -> None:
    """A server with other code, another catalog or other packages than the checkout is outdated."""
    change(workspace.root)
    assert is_outdated(workspace, _now(workspace))


def test_another_choice_or_an_unknown_one_ends_it(workspace: Workspace) -> None:
    """A server with another engine or ingress is outdated, and so is one whose note is cut or missing."""
    assert is_outdated(workspace, _now(workspace, engine="fake"))
    assert is_outdated(workspace, to_load(workspace.root, workspace.root / "catalog.toml", "packed", "haproxy"))
    (workspace.run / LOADED).write_text("{", encoding="utf-8")
    assert is_outdated(workspace, _now(workspace))
    (workspace.run / LOADED).unlink()
    assert is_outdated(workspace, _now(workspace))


def _entry(name: str, replicas: int = 1) -> str:
    return (
        f'[models.{name}]\nfamily = "xlm-roberta"\ncheckpoint = "c"\nweights_sha256 = "{"0" * 64}"\n'
        f'tokenizer_sha256 = "{"0" * 64}"\nmax_tokens = 8\nvocab_size = 8\nheads = {{}}\n'
        f"replicas = {{ min = {replicas}, max = {replicas} }}\n"
    )


def test_a_server_follows_another_catalog_and_nothing_else(workspace: Workspace) -> None:
    """A running server follows its catalog file while there is a port for each replica. Other changes end it."""
    catalog = workspace.root / "catalog.toml"

    def now(text: str, ingress: Ingress = "haproxy") -> dict[str, str]:
        catalog.write_text('default_model = "a"\n' + text, encoding="utf-8")
        return to_load(workspace.root, catalog, "packed", ingress)

    write_json(workspace.run / LOADED, now(_entry("a")) | {"removed": "kept"})
    assert can_follow(workspace, now(_entry("a") + _entry("b")))
    assert is_outdated(workspace, now(_entry("a"))), "a model that was taken out still runs"
    assert not can_follow(workspace, now(_entry("a") + _entry("b", 22)))
    assert not can_follow(workspace, now(_entry("a"), "python"))
    (workspace.root / "serve" / "a.py").write_text("A = 2\n", encoding="utf-8")
    assert not can_follow(workspace, now(_entry("a")))
    (workspace.run / LOADED).unlink()
    assert not can_follow(workspace, now(_entry("a")))
