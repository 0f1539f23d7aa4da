"""A run draws its progress on a terminal, and nothing elsewhere."""

from __future__ import annotations

import pytest

from glossa.commands.answers.run_progress import run_progress


def test_nothing_is_drawn_into_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard error stays empty, so that scripts may read it."""
    with run_progress(10) as advance:
        advance(1, 10)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("total_bytes", "said"), [(100, "left"), (None, "lines/s")])
def test_lines_and_rate_are_drawn(total_bytes: int | None, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The time left is drawn when the size of the input is known."""
    with run_progress(total_bytes, shown=True) as advance:
        advance(1_000, 40)
        advance(234, 60)
    drawn = capsys.readouterr().err
    assert "1,234 lines" in drawn
    assert said in drawn
    assert ("left" in drawn) == (total_bytes is not None)
