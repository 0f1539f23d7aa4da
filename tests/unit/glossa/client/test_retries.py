"""Calls are tried again when that may help, after the time that the service asks for."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from glossa.client import NO_RETRIES, ApiError, Overloaded, Retries, Unavailable
from tests.unit.glossa.client.served import URL, client_of

BUSY = {"code": "overloaded", "detail": "the queue is full", "retryable": True}
GOOD = httpx2.Response(200, json={"status": "ready"})


def paused(answers: list[httpx2.Response | Exception], retries: Retries) -> tuple[list[float], int, ApiError | None]:
    """Ask whether the API is ready; return the pauses, how many answers are left, and the error."""
    left: Iterator[httpx2.Response | Exception] = iter(answers)
    pauses: list[float] = []
    n_sent = [0]

    def answer(_: httpx2.Request) -> httpx2.Response:
        n_sent[0] += 1
        found = next(left)
        if isinstance(found, Exception):
            raise found
        return found

    try:
        client_of(answer, retries=retries, pause=pauses.append).ready()
    except ApiError as error:
        return pauses, n_sent[0], error
    return pauses, n_sent[0], None


def busy(status: int = 429, **headers: str) -> httpx2.Response:
    """Return a refusal."""
    return httpx2.Response(
        status, headers={name.replace("_", "-"): value for name, value in headers.items()}, json=BUSY
    )


def test_waits_double_up_to_the_longest() -> None:
    """Without Retry-After a wait is from half to all of a bound, which doubles."""
    refusals = [busy() for _ in range(5)]
    most = Retries(attempts=6, first_wait_s=0.5, longest_wait_s=3.0, jitter=lambda: 1.0)
    least = Retries(attempts=6, first_wait_s=0.5, longest_wait_s=3.0, jitter=lambda: 0.0)
    assert paused([*refusals, GOOD], most) == ([0.5, 1.0, 2.0, 3.0, 3.0], 6, None)
    assert paused([*refusals, GOOD], least) == ([0.25, 0.5, 1.0, 1.5, 1.5], 6, None)


def test_retry_after_is_honoured() -> None:
    """The client waits as long as the service asks, and raises at once if that is too long for it."""
    retries = Retries(longest_wait_s=10.0, jitter=lambda: 1.0)
    assert paused([busy(retry_after="7"), GOOD], retries) == ([7.0], 2, None)
    assert paused([busy(retry_after="0"), GOOD], retries) == ([0.5], 2, None)
    pauses, n_sent, error = paused([busy(retry_after="11")], retries)
    assert (pauses, n_sent) == ([], 1)
    assert isinstance(error, Overloaded)


@pytest.mark.parametrize("lost", [httpx2.ConnectError("refused"), httpx2.ReadTimeout("late"), busy(503), busy(504)])
def test_what_may_pass_is_tried_again(lost: httpx2.Response | Exception) -> None:
    """A connection that fails, a time that runs out, and a service that is not there, are tried again."""
    assert paused([lost, GOOD], Retries())[1:] == (2, None)


@pytest.mark.parametrize(
    ("status", "code"), [(400, "bad-request"), (401, ""), (403, ""), (404, "not-found"), (422, "unprocessable"),
                         (500, "internal"), (502, "not-finite")],
)  # fmt: skip
def test_what_would_fail_again_is_raised_at_once(status: int, code: str) -> None:
    """A fault of the request is not tried again, nor an answer that says that a retry does not help."""
    problem = {"code": code, "detail": "no", "retryable": False} if code else {"message": "no"}
    pauses, n_sent, error = paused([httpx2.Response(status, json=problem)], Retries())
    assert (pauses, n_sent) == ([], 1)
    assert error is not None
    assert error.status == status


def test_attempts_end() -> None:
    """After the last attempt its error is raised; without retries that is the first."""
    assert paused([busy(503)] * 4, Retries())[1] == 4
    pauses, n_sent, error = paused([busy(503)], NO_RETRIES)
    assert (pauses, n_sent) == ([], 1)
    assert isinstance(error, Unavailable)


def test_a_redirect_is_not_followed() -> None:
    """A key never goes where an answer points."""
    seen: list[str] = []

    def elsewhere(sent: httpx2.Request) -> httpx2.Response:
        seen.append(str(sent.url))
        return httpx2.Response(307, headers={"location": "https://evil.example/"})

    with pytest.raises(ApiError):
        client_of(elsewhere).text_classification("x")
    assert seen == [f"{URL}/v1/text-classification"]
