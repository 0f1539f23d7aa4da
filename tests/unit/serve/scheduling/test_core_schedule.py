"""Turns: all cores or lanes, never both, and somebody may always start."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from serve.engine.parallel_passes import MIN_PASS_TOKENS, is_parallel_faster
from serve.scheduling.core_schedule import BUSY_S, CoreSchedule


@dataclass
class Rows:
    """So many tokens wait, the longest row of them `longest`."""

    waiting_tokens: int = 0
    longest: int = 1
    has_new: bool = True

    def is_parallel_faster(self, n_parallel: int) -> bool:
        """As the scheduler says."""
        return is_parallel_faster(self.waiting_tokens, self.longest, n_parallel)


EVENTS = st.lists(
    st.tuples(st.sampled_from(["call", "all", "single", "end"]), st.integers(0, 400), st.integers(1, 400)), max_size=40
)


@given(n_parallel=st.integers(1, 6), events=EVENTS)
def test_all_cores_and_lanes_never_run_together_and_none_is_stuck(
    n_parallel: int, events: list[tuple[str, int, int]]
) -> None:
    """Whatever comes: one pass on all cores or at most `n_parallel` on lanes, and while none runs, one may start."""
    rows = Rows()
    core_schedule = CoreSchedule(n_parallel, rows)
    running: list[bool] = []
    for number, (event, tokens, longest) in enumerate(events):
        now_s = number / 10
        if event == "call":
            rows.waiting_tokens, rows.longest, rows.has_new = tokens, longest, tokens % 3 > 0
            core_schedule.note_open_calls(1 + tokens % 7, now_s)
        elif event == "end" and running:
            core_schedule.end(now_s, is_single_core=running.pop())
        elif event in {"all", "single"} and core_schedule.may_start(is_single_core=event == "single"):
            running.append(event == "single")
            core_schedule.begin(is_single_core=running[-1])
        assert len(running) <= (n_parallel if all(running) else 1)
        assert core_schedule.n_running == len(running)
        if not running:
            assert core_schedule.may_start(is_single_core=False) or core_schedule.may_start(is_single_core=True)
        if n_parallel == 1:
            assert not core_schedule.may_start(is_single_core=True)


def test_a_call_that_is_alone_has_all_cores() -> None:
    """One after the other, however long ago the last one was."""
    core_schedule = CoreSchedule(2, Rows(60, 60))
    for now_s in (0.0, 0.01, 5.0):
        core_schedule.note_open_calls(1, now_s)
        assert core_schedule.may_start(is_single_core=False)
        assert not core_schedule.may_start(is_single_core=True)


def test_a_row_that_is_alone_for_a_moment_leaves_a_core_to_the_next() -> None:
    """Two calls were open at once a moment ago: a lone row runs on a lane, and later on all cores again."""
    core_schedule = CoreSchedule(2, Rows(60, 60))
    core_schedule.note_open_calls(2, 0.0)
    core_schedule.note_open_calls(1, BUSY_S / 2)
    assert core_schedule.may_start(is_single_core=True)
    assert not core_schedule.may_start(is_single_core=False)
    core_schedule.note_open_calls(1, BUSY_S)
    assert core_schedule.may_start(is_single_core=False)


def test_next_tokens_of_generating_rows_share_a_pass() -> None:
    """A few tokens read all weights for next to nothing: all rows together, on all cores, crowded or not."""
    core_schedule = CoreSchedule(2, Rows(MIN_PASS_TOKENS - 1, 1, has_new=False))
    core_schedule.note_open_calls(9, 0.0)
    assert core_schedule.may_start(is_single_core=False)
    core_schedule.begin(is_single_core=True)
    assert not core_schedule.may_start(is_single_core=True)
    core_schedule.end(0.0, is_single_core=True)
    assert core_schedule.may_start(is_single_core=False)


def test_a_free_lane_takes_whatever_comes_beside_one_that_runs() -> None:
    """The next row waits for no pass."""
    rows = Rows(100, 50)
    core_schedule = CoreSchedule(2, rows)
    core_schedule.begin(is_single_core=True)
    rows.waiting_tokens = 1
    assert core_schedule.may_start(is_single_core=True)
    core_schedule.begin(is_single_core=True)
    assert not core_schedule.may_start(is_single_core=True)
