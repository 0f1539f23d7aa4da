"""How long a model without a replica is said to stay away."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve.http.outages import FIRST_S, LAG_S, MAX_S, Outages


class _Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def _outages() -> tuple[Outages, _Clock]:
    clock = _Clock()
    return Outages(clock), clock


def _absence(outages: Outages, clock: _Clock, seconds: float) -> None:
    """Let a model be away for so long."""
    outages.refuse("toy")
    outages.starts("toy")
    clock.now_s += seconds
    outages.runs("toy")
    assert not outages


def test_the_time_to_wait_is_what_is_left_of_a_start() -> None:
    """Before any start was seen, a usual one is expected. Afterwards one that takes as long as the last."""
    outages, clock = _outages()
    assert outages.refuse("toy") == FIRST_S
    clock.now_s += 3.2
    assert outages.refuse("toy") == 12
    _absence(outages, clock, 4.8)  # eight seconds in all
    assert outages.refuse("toy") == 8
    clock.now_s += 6
    assert outages.refuse("toy") == 2
    assert outages.refuse("other") == FIRST_S


def test_a_model_that_should_be_back_by_now_is_expected_soon() -> None:
    """The longer it is overdue, the longer callers wait, but never longer than a minute."""
    outages, clock = _outages()
    outages.refuse("toy")
    clock.now_s += 20
    assert outages.refuse("toy") == 5
    clock.now_s += 1000
    assert outages.refuse("toy") == MAX_S


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=20))
def test_every_time_to_wait_is_whole_and_bounded(pauses_s: list[float]) -> None:
    """Whatever happened before, it is from one second to a minute."""
    outages, clock = _outages()
    for pause_s in pauses_s:
        waited = outages.refuse("toy")
        assert waited == int(waited)
        assert 1 <= waited <= MAX_S
        clock.now_s += pause_s
        if pause_s > FIRST_S:
            outages.starts("toy")
            outages.runs("toy")


def test_serve_may_notice_late_that_a_replica_ended() -> None:
    """While calls are refused, a model is away though Serve says that it runs. That time is then part of its start."""
    outages, clock = _outages()
    outages.refuse("toy")
    outages.runs("toy")
    clock.now_s += 2
    outages.runs("toy")
    assert outages.refused == ("toy",)
    _absence(outages, clock, 7)
    assert outages.refuse("toy") == 9


def test_a_refusal_that_serve_never_confirms_is_forgotten() -> None:
    """A proxy that could not reach a replica for a moment teaches nothing about starts."""
    outages, clock = _outages()
    outages.refuse("toy")
    clock.now_s += LAG_S + 1
    outages.runs("toy")
    assert not outages
    assert outages.refuse("toy") == FIRST_S


def test_the_rest_of_an_idle_model_is_no_outage() -> None:
    """Its outage begins with the first call, however long it has rested."""
    outages, clock = _outages()
    outages.rests("toy")
    clock.now_s += 1000
    assert not outages
    assert outages.refuse("toy") == FIRST_S
    outages.rests("toy")
    clock.now_s += 5
    outages.runs("toy")
    assert outages.refuse("toy") == 5
