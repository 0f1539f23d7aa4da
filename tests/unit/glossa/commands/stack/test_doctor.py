"""`glossa doctor` names what is missing, and what to do about it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from glossa.cli import main
from glossa.commands.stack.doctor import lines
from local import doctor as checks
from local.workspace import ROOT, Workspace, write_json


def test_it_prints_a_line_for_each_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """People get lines, programs JSON, and the exit code says whether something is missing."""
    code = main(["doctor", "--json", "--home", str(tmp_path)])
    found = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert list(found) == [
        "Python", "make", "machine", "cores", "memory", "disk", "ports", ".venv", ".venv-local", ".venv-sam",
    ]  # fmt: skip
    assert code == any(check["state"] == "missing" for check in found.values())
    assert found[".venv"]["state"] == "ok", "these tests run in it"
    main(["doctor", "--home", str(tmp_path)])
    assert len(capsys.readouterr().out.splitlines()) > len(found)


def test_what_is_missing_has_a_way_forward() -> None:
    """The way stands below the check, and the last line counts."""
    said = lines([checks.Check("a", "ok", "1"), checks.Check("b", "missing", "none", "make setup")])
    assert [" ".join(line.split()) for line in said] == ["ok a 1", "missing b none", "make setup", "1 missing"]
    assert "nothing is missing" in lines([checks.cores_check(2)])[-1]
    assert checks.cores_check(1).state == "warning"


def test_an_environment_is_compared_with_its_lock(tmp_path: Path) -> None:
    """A package of another version, or one that is not there, is named with the version that is locked."""
    (tmp_path / "requirements").mkdir()
    locked = "a-b==1.0 \\\n    --hash=sha256:00\nc==2.0 ; sys_platform == 'win32' \\\n    --hash=sha256:00\n"
    (tmp_path / "requirements" / "venv.txt").write_text(locked, encoding="utf-8")
    (tmp_path / "requirements" / "venv.in").write_text("torch==2.0  # not locked\na-b[all]==1.0\n", encoding="utf-8")
    assert checks.environment_check(tmp_path, ".venv", "venv") == checks.Check(
        ".venv", "missing", "not there", "make setup"
    )
    packages = tmp_path / ".venv" / "lib" / "python3.11" / "site-packages"
    for name, version in (("A_b", "1.0"), ("torch", "2.0+cpu"), ("more", "1")):
        (packages / f"{name}-{version}.dist-info").mkdir(parents=True)
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (packages / f"{name}-{version}.dist-info" / "METADATA").write_text(text, encoding="utf-8")
    assert checks.environment_check(tmp_path, ".venv", "venv") == checks.Check(".venv", "ok", "3 packages, as locked")
    (packages / "A_b-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: A_b\nVersion: 1.1\n", encoding="utf-8"
    )
    other = checks.environment_check(tmp_path, ".venv", "venv")
    assert other.found == "a-b 1.1 (locked: 1.0)"
    assert other.way == "rm .venv/.done && make setup"


def test_a_port_of_stored_state_that_is_taken_is_found(tmp_path: Path) -> None:
    """The stored state of an emulator has its port in the addresses of queues."""
    workspace = Workspace(ROOT, tmp_path)
    assert checks.ports_check(workspace).state == "ok"
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        write_json(workspace.state / "port.json", {"emulator": stranger.getsockname()[1]})
        found = checks.ports_check(workspace)
    assert found.state == "missing"
    assert "the stored state of the stack has that address" in found.found
    assert found.way.endswith("glossa stop --forget")


def test_the_browser_is_looked_for_on_the_path(tmp_path: Path) -> None:
    """Debian's program is found by its name."""
    assert checks.browser_check(str(tmp_path)).state == "missing"
    (tmp_path / "chromium").touch(mode=0o755)
    assert checks.browser_check(str(tmp_path)) == checks.Check("browser", "ok", str(tmp_path / "chromium"))


def test_without_credentials_aws_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing first is said first: credentials, then a region."""
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert checks.aws_check().found == "no credentials"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    assert checks.aws_check().found == "no region"
