"""Checks the arithmetic of cost against figures that were worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glossa.cost.model import (
    fixed_dollars_per_hour,
    full_load_dollars,
    machine_dollars,
    managed_dollars,
    n_machines,
    text_lambda_dollars,
)
from glossa.cost.prices import Machine, Managed, load_prices

PRICES = load_prices()
MACHINE = Machine(name="m", chip="c", dollars_per_hour=0.36, price_source="s", tokens_per_s=1000.0, basis="b")


def test_a_machine_that_is_never_idle_costs_its_seconds() -> None:
    """A million texts of 100 tokens take 100,000 s at 1,000 tokens/s, and 0.36 dollars an hour are 0.0001 a second."""
    assert full_load_dollars(MACHINE, 100) == pytest.approx(10.0)


def test_a_machine_without_a_rate_has_no_figure() -> None:
    """Nothing is invented for a machine that nobody has measured."""
    unknown = MACHINE.model_copy(update={"tokens_per_s": None})
    assert full_load_dollars(unknown, 100) is None
    with pytest.raises(ValueError, match="without tokens_per_s, expected a measured or computed rate"):
        n_machines(PRICES.load, unknown, 1.0, 100)


def test_machines_are_counted_for_the_peak() -> None:
    """10 texts/s of 100 tokens are 3,000 tokens/s at three times the mean: five machines at 70 % of 1,000 tokens/s."""
    assert n_machines(PRICES.load, MACHINE, 10.0, 100) == 5


def test_an_idle_installation_keeps_its_least_machines() -> None:
    """Two machines run for a load that one could answer; one when the service scales to zero."""
    assert n_machines(PRICES.load, MACHINE, 0.001, 100) == 2
    assert n_machines(PRICES.load, MACHINE, 0.001, 100, busy_share=0.25) == 1


@given(st.floats(min_value=0.001, max_value=1e4), st.integers(min_value=1, max_value=4096))
def test_scaling_to_zero_never_costs_more_than_one_machine_more(rate: float, tokens: int) -> None:
    """The same items come in fewer hours, so only rounding up can make the machines of scale to zero dearer."""
    always = machine_dollars(PRICES, MACHINE, rate, tokens, zero=False)
    to_zero = machine_dollars(PRICES, MACHINE, rate, tokens, zero=True)
    one_machine = MACHINE.dollars_per_hour * 1.12 / (rate * 3600) * 1e6
    assert to_zero <= always + one_machine


def test_comprehend_asks_for_three_units_at_least() -> None:
    """A short text costs three units of 100 characters, a document all of its units."""
    (comprehend,) = [managed for managed in PRICES.managed if "Comprehend" in managed.name]
    assert managed_dollars(comprehend, 71, is_text=True) == pytest.approx(300.0)
    assert managed_dollars(comprehend, 2000, is_text=False) == pytest.approx(8000.0)


def test_a_price_by_tokens_is_multiplied() -> None:
    """A million texts of 71 tokens are 71 million tokens."""
    managed = Managed(name="m", note="n", price_source="s", dollars_per_million_tokens=0.02)
    assert managed_dollars(managed, 71, is_text=True) == pytest.approx(1.42)


def test_a_price_that_is_given_later_counts() -> None:
    """A price of the API or of a load balancer that a reader adds raises the figures by what it says."""
    given_now = {**PRICES.service}
    for name, dollars in (("api_gateway_request", 1e-6), ("load_balancer_hour", 0.02)):
        given_now[name] = given_now[name].model_copy(update={"dollars": dollars})
    dearer = PRICES.model_copy(update={"service": given_now})
    assert text_lambda_dollars(dearer) - text_lambda_dollars(PRICES) == pytest.approx(1.0)
    assert fixed_dollars_per_hour(dearer) - fixed_dollars_per_hour(PRICES) == pytest.approx(0.02)
