"""Checks how long a deployment waits for its API."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from glossa.client.errors import ApiError, Unavailable
from glossa.deployment.programs.health import BEARERS, key_for, wait_until_ready


def asking(answers: Iterator[ApiError | None]) -> Callable[[], object]:
    """Return a function that raises or returns what comes next."""

    def ask() -> object:
        answer = next(answers)
        if answer is not None:
            raise answer
        return {}

    return ask


def waited(answers: list[ApiError | None], within_s: float) -> tuple[bool, list[str], float]:
    """Wait on a clock that only pauses move; return the result, what was said and the time."""
    now = [0.0]
    said: list[str] = []

    def pause(seconds: float) -> None:
        now[0] += seconds

    ready = wait_until_ready(asking(iter(answers)), within_s, said.append, clock_s=lambda: now[0], pause=pause)
    return ready, said, now[0]


def test_it_waits_until_the_api_answers() -> None:
    """Two refusals and then an answer take two pauses, and the same reason is said once."""
    refused = Unavailable("the model server is not ready")
    assert waited([refused, refused, None], 60.0) == (True, ["not ready yet: the model server is not ready"], 20.0)


def test_it_gives_up_in_time() -> None:
    """It does not begin a pause that would end too late."""
    assert waited([Unavailable("no answer")] * 9, 25.0) == (False, ["not ready yet: no answer"], 20.0)


@pytest.mark.parametrize("auth", BEARERS)
def test_an_api_that_takes_bearer_tokens_gets_one(auth: str) -> None:
    """The token comes from the environment, and a missing one is named at once, not after ten minutes."""
    assert key_for(auth, {"GLOSSA_API_KEY": "k"}) == "k"
    with pytest.raises(ValueError, match=f"got no GLOSSA_API_KEY, expected an API key .* has Auth={auth}"):
        key_for(auth, {})


def test_a_signed_call_carries_no_key() -> None:
    """With Auth=iam a key in the environment is left alone: API Gateway would refuse it."""
    assert key_for("iam", {"GLOSSA_API_KEY": "k"}) is None
