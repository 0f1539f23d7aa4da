"""wrk: found on the search path or in the folder of the set-up, and installed into that folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.load import wrk


def _program(folder: Path, text: str = "#!/bin/sh\n") -> Path:
    """Write a program called wrk."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "wrk"
    program.write_text(text)
    program.chmod(0o755)
    return program


def test_the_search_path_comes_first(tmp_path: Path) -> None:
    """A wrk that the machine has is taken as it is."""
    machine, ours = _program(tmp_path / "bin"), tmp_path / "ours"
    _program(ours / "usr" / "bin")
    assert wrk.find_wrk(str(tmp_path / "bin"), ours) == wrk.Wrk(str(machine), {})


def test_the_unpacked_wrk_gets_its_library(tmp_path: Path) -> None:
    """The one in the folder of the set-up is started with the library beside it."""
    program = _program(tmp_path / "usr" / "bin")
    libraries = tmp_path / "usr" / "lib" / "x86_64-linux-gnu"
    libraries.mkdir(parents=True)
    assert wrk.find_wrk("", tmp_path) == wrk.Wrk(str(program), {"LD_LIBRARY_PATH": str(libraries)})


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    """Neither place has a wrk."""
    assert wrk.find_wrk(str(tmp_path), tmp_path) is None


def test_what_is_missing_is_said_in_one_line() -> None:
    """The line names the tool and the command that installs it."""
    assert "\n" not in wrk.MISSING
    assert "wrk" in wrk.MISSING
    assert "make setup-test" in wrk.MISSING


def test_a_wrk_that_does_not_start_is_no_wrk(tmp_path: Path) -> None:
    """An unpacked program that lacks a library fails at once, with its own words."""
    _program(tmp_path / "usr" / "bin", "#!/bin/sh\necho cannot open libluajit >&2\nexit 127\n")
    with pytest.raises(RuntimeError, match="cannot open libluajit"):
        wrk._check_starts(tmp_path)
