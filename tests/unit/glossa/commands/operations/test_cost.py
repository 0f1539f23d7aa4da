"""Checks `glossa cost`."""

from __future__ import annotations

from pathlib import Path

import pytest

from glossa.cli import main


def test_it_prints_the_tables_and_names_what_has_no_price(capsys: pytest.CaptureFixture[str]) -> None:
    """The tables go to standard output, the missing prices to standard error."""
    assert main(["cost"]) == 0
    printed = capsys.readouterr()
    assert "| Amazon Comprehend" in printed.out
    assert "no price, so in no figure: api_gateway_request" in printed.err


def test_a_file_that_is_missing_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path that leads nowhere ends with exit code 2 and the path."""
    assert main(["cost", "--prices", str(tmp_path / "none.toml")]) == 2
    assert "none.toml" in capsys.readouterr().err
