"""The core schedule: all cores or parallel passes, never both, and one of them may always start."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from serve.engine.parallel_passes import MIN_PASS_TOKENS, is_parallel_faster
from serve.scheduling.core_schedule import BUSY_S, CoreSchedule


@dataclass
class Rows:
    """Waiting rows: `waiting_tokens` in all, `longest` in the longest row."""

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
def test_the_two_kinds_of_passes_never_run_together(n_parallel: int, events: list[tuple[str, int, int]]) -> None:
    """One pass of all cores runs, or at most `n_parallel` passes of one core. While none runs, one may start."""
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
    """It has them however long ago the last call was."""
    core_schedule = CoreSchedule(2, Rows(60, 60))
    for now_s in (0.0, 0.01, 5.0):
        core_schedule.note_open_calls(1, now_s)
        assert core_schedule.may_start(is_single_core=False)
        assert not core_schedule.may_start(is_single_core=True)


def test_a_row_that_is_alone_for_a_moment_leaves_a_core_to_the_next() -> None:
    """Shortly after two calls were open at once, a lone row runs on one core. Later it runs on all cores again."""
    core_schedule = CoreSchedule(2, Rows(60, 60))
    core_schedule.note_open_calls(2, 0.0)
    core_schedule.note_open_calls(1, BUSY_S / 2)
    assert core_schedule.may_start(is_single_core=True)
    assert not core_schedule.may_start(is_single_core=False)
    core_schedule.note_open_calls(1, BUSY_S)
    assert core_schedule.may_start(is_single_core=False)


def test_next_tokens_of_generating_rows_share_a_pass() -> None:
    """A few next tokens cost little more than reading the weights. All rows go together on all cores, busy or not."""
    core_schedule = CoreSchedule(2, Rows(MIN_PASS_TOKENS - 1, 1, has_new=False))
    core_schedule.note_open_calls(9, 0.0)
    assert core_schedule.may_start(is_single_core=False)
    core_schedule.begin(is_single_core=True)
    assert not core_schedule.may_start(is_single_core=True)
    core_schedule.end(0.0, is_single_core=True)
    assert core_schedule.may_start(is_single_core=False)


def test_a_new_row_starts_beside_a_running_parallel_pass() -> None:
    """The next row waits for no pass."""
    rows = Rows(100, 50)
    core_schedule = CoreSchedule(2, rows)
    core_schedule.begin(is_single_core=True)
    rows.waiting_tokens = 1
    assert core_schedule.may_start(is_single_core=True)
    core_schedule.begin(is_single_core=True)
    assert not core_schedule.may_start(is_single_core=True)
