"""The tables of docs/scale.md are those that the simulation prints, and they follow what was measured."""

from __future__ import annotations

from statistics import mean

import pytest

from benchmarks import ROOT
from benchmarks.scale import LENGTHS, MACHINES, default_of, fill, measured, one_replica, plan
from glossa.cost.prices import Machine, load_prices

PAGE = ROOT / "docs" / "scale.md"
PRICES = load_prices()


def _machine(name: str) -> Machine:
    return next(machine for machine in PRICES.machine if machine.name == name)


def test_the_page_holds_the_tables_of_the_simulation() -> None:
    """Nobody edits a figure by hand: `python -m benchmarks.scale --write docs/scale.md` changes nothing."""
    page = PAGE.read_text(encoding="utf-8")
    assert fill(page, PRICES) == page


def test_a_page_without_marks_is_refused() -> None:
    """A page that has no place for the tables is left as it is."""
    with pytest.raises(ValueError, match="without the marks"):
        fill("# scale\n", PRICES)


def test_a_replica_that_is_never_idle_answers_what_was_measured() -> None:
    """With 64 connections, base answered 65 requests a second on two cores: the simulation has that within a tenth."""
    assert mean(LENGTHS) == 71
    found, _ = one_replica(_machine("c8a.large"))
    assert found.most_per_s(71) == pytest.approx(65.2, rel=0.1)
    assert 0 < measured("serving-mini").call_s < measured("serving-base").call_s < 0.005


def test_more_requests_need_more_of_everything_but_dollars_each() -> None:
    """Ten times the requests on CPUs need more replicas and functions; a million of them cost less."""
    few, many = (plan(PRICES, _machine(MACHINES[0]), per_s) for per_s in (100.0, 1000.0))
    assert few.n_replicas < many.n_replicas
    assert few.open < many.open
    assert few.dollars > many.dollars
    assert 0 < few.p50_ms < few.p99_ms


def test_the_defaults_are_those_of_the_template() -> None:
    """A name that is no parameter with a number is refused."""
    assert default_of("ThrottleRate") == 200
    with pytest.raises(LookupError, match="no number as default of Nope"):
        default_of("Nope")
