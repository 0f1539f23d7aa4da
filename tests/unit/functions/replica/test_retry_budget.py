"""The budget of retries."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from functions.replica.retry_budget import RetryBudget


@given(st.lists(st.booleans(), max_size=300))
def test_retries_stay_within_the_budget(fails: list[bool]) -> None:
    """At most a tenth of the calls is retried, and one more that is saved at the start."""
    budget = RetryBudget()
    retries = 0
    for failed in fails:
        budget.earn()
        retries += failed and budget.spend()
    assert retries <= 1 + 0.1 * len(fails) + 1e-6
