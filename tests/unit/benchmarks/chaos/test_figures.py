"""Figures of runs that are made up, so that each has one known value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from benchmarks.chaos.calls import Attempt, Call, Happening, Job, Seen, Usage
from benchmarks.chaos.figures import figures, honest_waits, percentile, recoveries_s, sli

FAULT = Happening(10.0, "kill", is_fault=True)


def _answered(at_s: float, seconds: float = 0.1) -> Attempt:
    return Attempt(at_s, at_s + seconds, 200)


def _refused(at_s: float, wait_s: float | None = 1.0, seconds: float = 0.05, status: int = 503) -> Attempt:
    return Attempt(at_s, at_s + seconds, status, wait_s)


def _call(*attempts: Attempt, number: int = 0) -> Call:
    last = attempts[-1]
    return Call(number, attempts[0].begun_s, last.ended_s, "right" if last.is_good else "failed", attempts)


def _seen(calls: Sequence[Call], *happenings: Happening, ends_s: float = 40.0) -> Seen:
    return Seen(calls, happenings, calm_s=10.0, fault_ends_s=20.0, ends_s=ends_s)


CALM = [_call(_answered(float(n))) for n in range(40)]


def test_a_calm_run_has_no_loss() -> None:
    """Every share is whole, nothing was refused, and both times of a fault are 0."""
    found = figures(_seen(CALM, FAULT))
    assert (found.sli, found.success, found.first_try, found.requests_per_call) == (1.0, 1.0, 1.0, 1.0)
    assert (found.notice_s, found.recover_s, found.n_refused, found.refusal_p99_ms) == (0.0, 0.0, 0, None)
    assert (found.p50_calm_ms, found.p99_fault_ms) == pytest.approx((100.0, 100.0))
    assert found.p99_ratio == pytest.approx(1.0)


def test_the_sli_is_the_mean_over_intervals() -> None:
    """An interval in which half of the requests fail costs the same, however many requests it has."""
    busy = [_answered(1.0 + n / 100) for n in range(50)] + [_refused(2.0 + n / 100) for n in range(50)]
    quiet = [_answered(6.0), _answered(11.0), _answered(16.0)]
    assert sli([*busy, *quiet], 20.0) == pytest.approx(1 - 0.5 / 4)


def test_a_refusal_with_429_is_no_server_error_and_no_response_is_one() -> None:
    """The SLI counts what an SLA counts; success counts both."""
    assert sli([_refused(1.0, status=429)], 5.0) == 1.0
    assert sli([Attempt(1.0, 2.0, None)], 5.0) == 0.0
    assert figures(_seen([_call(_refused(1.0, status=429))])).success == 0.0


def test_a_call_that_its_retry_saves_counts_as_success() -> None:
    """Only the share of first tries shows it, and the requests of each call."""
    found = figures(_seen([*CALM[:3], _call(_refused(12.0), _answered(13.0))], FAULT))
    assert (found.success, found.first_try, found.requests_per_call) == (1.0, 0.75, 1.25)


def test_a_fault_is_noticed_when_nobody_waits_long_any_more() -> None:
    """Calls hang for 6 s after the fault, then they are refused at once."""
    hung = [_call(Attempt(10.5 + n, 30.0, 504)) for n in range(6)]
    quick = [_call(_refused(17.0 + n)) for n in range(4)]
    found = figures(_seen([*CALM[:10], *hung, *quick, *CALM[25:]], FAULT))
    assert found.notice_s == pytest.approx(5.5 + 2.0)
    assert found.slowest_request_s == pytest.approx(19.5)


def test_recovery_counts_from_what_ends_a_fault() -> None:
    """The last refused request began at 24, the next answer came at 25.1; the fault ended at 22."""
    bad = [_refused(float(n)) for n in range(11, 25)]
    good = [_answered(float(n)) for n in (*range(10), *range(25, 40))]
    healed = Happening(22.0, "continue", heals=True)
    assert list(recoveries_s([*good, *bad], [FAULT, healed], 40.0)) == [pytest.approx(3.1)]
    assert list(recoveries_s([*good, *bad], [FAULT], 40.0)) == [pytest.approx(15.1)]


def test_a_service_that_never_comes_back_is_said_to() -> None:
    """Recovery takes for ever, and a hold with any bound breaks."""
    assert list(recoveries_s([_answered(1.0), _refused(12.0)], [FAULT], 40.0)) == [math.inf]


def test_each_of_two_faults_is_judged_until_the_next() -> None:
    """The longest of both recoveries counts."""
    attempts = [_refused(11.0), _answered(12.0), _refused(21.0), _answered(29.9)]
    faults = [FAULT, Happening(20.0, "kill", is_fault=True)]
    assert list(recoveries_s(attempts, faults, 40.0)) == pytest.approx([2.1, 10.0])


def test_a_retry_after_is_right_when_the_next_request_is_answered() -> None:
    """One of two was right; one after which nobody asked is not judged."""
    attempts = [_refused(10.0, 2.0), _answered(12.5), _refused(20.0, 2.0), _refused(22.5, 500.0)]
    assert honest_waits(attempts) == 0.5
    assert honest_waits([_refused(10.0, None), _answered(11.0)]) is None


def test_requests_open_at_a_fault_are_measured_from_it() -> None:
    """One began before it and ended 3 s after it."""
    found = figures(_seen([_call(Attempt(9.0, 13.0, 502)), *CALM[14:]], FAULT))
    assert found.in_flight_s == pytest.approx(3.0)


def test_goodput_is_compared_with_the_peak() -> None:
    """Ten right answers in ten seconds are half of a peak of two a second; calls that were not sent do not count."""
    unsent = Call(99, 12.0, 12.0, "unsent")
    found = figures(replace(_seen([*CALM, unsent]), peak_per_s=2.0))
    assert (found.goodput_per_s, found.goodput_share, found.n_unsent) == (1.0, 0.5, 1)


def test_growth_is_that_of_the_part_that_grew_most() -> None:
    """The median of the last fifth ÷ that of the first."""
    usage = [Usage(float(n), "replica", 100 if n < 8 else 150, 7, 1) for n in range(10)]
    usage += [Usage(float(n), "functions", 50, 20, 4) for n in range(10)]
    found = figures(replace(_seen(CALM), usage=usage))
    assert (found.growth, found.file_growth) == (1.5, 1.0)


def test_a_job_without_all_its_rows_is_lost() -> None:
    """So is one that has not succeeded."""
    job = Job("SUCCEEDED", 10, 10, 0, 5.0)
    assert figures(replace(_seen(CALM), job=job)).jobs_lost == 0.0
    assert figures(replace(_seen(CALM), job=replace(job, rows=9))).jobs_lost == 1.0
    assert figures(replace(_seen(CALM), job=replace(job, state="FAILED"))).jobs_lost == 1.0


def test_a_percentile_is_a_value_that_was_seen() -> None:
    """The smallest that is at least as large as so many."""
    assert [percentile(range(1, 101), percent) for percent in (50, 99, 100)] == [50, 99, 100]
    assert percentile([], 50) is None


def test_a_run_without_calls_is_refused() -> None:
    """There is nothing to compute."""
    with pytest.raises(ValueError, match="without calls"):
        figures(_seen([]))
