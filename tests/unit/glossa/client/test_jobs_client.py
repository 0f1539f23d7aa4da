"""The client stands alone: it repeats what it must know of the jobs API, and this is checked here."""

from __future__ import annotations

from functions.jobs.state.state_machine import ENDED
from glossa.client.jobs_client import END_STATES


def test_end_states_are_those_of_the_state_machine() -> None:
    """The client watches a job until the same states that end it in the service."""
    assert END_STATES == ENDED
