"""A job's status is shown as one line, and on a terminal that line is drawn again until the job has ended."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glossa.client.jobs.status import JobStatus, job_status
from glossa.commands.remote.progress import line_of, watch


def shown(state: str = "RUNNING", progress: float | None = 0.5, **counts: int) -> JobStatus:
    """Return a job's status."""
    known = {"records": 10_000, "succeeded": 5000, "failed": 0, "unreadable_inputs": 0}
    eta_s = None if progress is None else 47.0
    return job_status({
        "job": "0" * 32, "state": state, "task": "fill-mask", "created_at": "", "progress": progress,
        "records_per_s": 106.0, "eta_s": eta_s, "counts": known | counts,
    })  # fmt: skip


def test_a_status_is_one_line() -> None:
    """It has state, bar, share, records, rate, time left and failures, or only the records found so far."""
    line = line_of(shown(failed=3), 100)
    assert line.startswith("RUNNING ███████████████████▌░")
    assert line.endswith(" 50% 5,003 of 10,000 · 106/s · 0:47 left · 3 failed")
    assert line_of(shown("PLANNING", None, records=40), 80) == "PLANNING 40 records found · 106/s"
    assert "2 files unreadable" in line_of(shown(unreadable_inputs=2), 100)


@given(st.floats(0, 1), st.integers(1, 200))
def test_a_line_fits_its_terminal(share: float, width: int) -> None:
    """A line never has more columns than its terminal."""
    assert len(line_of(shown(progress=share), width)) <= width


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say yes."""
        return True


@pytest.mark.parametrize(("out", "n_lines"), [(Screen(), 1), (io.StringIO(), 2)])
def test_watching_ends_with_the_job(out: io.StringIO, n_lines: int) -> None:
    """A terminal gets one line that is drawn again, a file one line for each state."""
    states = iter([shown(), shown(), shown("SUCCEEDED", 1.0)])
    paused: list[float] = []
    assert watch(lambda: next(states), out, paused.append, width=80).state == "SUCCEEDED"
    assert len(paused) == 2
    assert out.getvalue().count("\n") == n_lines
