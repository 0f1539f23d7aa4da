"""`glossa logs` prints the ends of logs, by the names of their parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from glossa.cli import main


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return the folder of a stack with three logs."""
    (tmp_path / "log").mkdir()
    for name in ("serve", "emulator", "sam-deploy"):
        lines = "".join(f"{name} {i}\n" for i in range(50))
        (tmp_path / "log" / f"{name}.log").write_text(lines, encoding="utf-8")
    return tmp_path


def test_one_part_is_printed(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The last lines of its log, and nothing else."""
    assert main(["logs", "sam-deploy", "-n", "2", "--home", str(home)]) == 0
    assert capfd.readouterr().out == "sam-deploy 48\nsam-deploy 49\n"


def test_without_a_part_the_two_servers_are_printed(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each log has a title."""
    assert main(["logs", "-n", "1", "--home", str(home)]) == 0
    said = capfd.readouterr().out
    assert "serve 49\n" in said
    assert "emulator 49\n" in said
    assert "sam-deploy" not in said
    assert "==> " in said


def test_an_unknown_part_is_refused(
    home: Path, tmp_path_factory: pytest.TempPathFactory, capfd: pytest.CaptureFixture[str]
) -> None:
    """The parts that there are, or that there are none yet, are named."""
    assert main(["logs", "nope", "--home", str(home)]) == 2
    assert "got part 'nope', expected one of emulator, sam-deploy, serve" in capfd.readouterr().err
    assert main(["logs", "--home", str(tmp_path_factory.mktemp("empty"))]) == 2
    assert "`glossa up` starts one" in capfd.readouterr().err
