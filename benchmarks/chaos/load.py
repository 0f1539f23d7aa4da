"""Sends a constant load with our own Python client, and keeps what came of each call.

Calls are due at fixed times, whether earlier ones are answered or not, and latency counts from then. The number of open
calls is bounded. Each answer is compared with the right one. Must not know what is broken.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass

import httpx2

from benchmarks.chaos.calls import Attempt, Call, Outcome
from glossa.client import ApiError, AsyncClient, Label, Result, Retries
from glossa.client.flows import retry_after_s

Scores = Mapping[str, float]
TOLERANCE = 1e-3  # scores of other texts differ by more; those of one text by less than 1e-6
API_S = 35.0  # that the client waits for each response
DRAIN_S = 90.0  # a call with one retry ends within this time
ONE_RETRY = Retries(attempts=2, longest_wait_s=15.0)
_attempts: ContextVar[list[Attempt]] = ContextVar("attempts")


@dataclass(frozen=True)
class Corpus:
    """The texts that are sent, in turn, and the right scores of all labels for each."""

    model: str
    texts: Sequence[str]
    scores: Sequence[Scores]

    def is_right(self, number: int, labels: Sequence[Label]) -> bool:
        """Return whether an answer is that of the text which the call of this number sent."""
        expected = self.scores[number % len(self.texts)]
        found = {label.label: label.score for label in labels}
        return found.keys() == expected.keys() and all(
            abs(found[name] - score) <= TOLERANCE for name, score in expected.items()
        )


def told_apart(scores: Sequence[Scores]) -> list[int]:
    """Return the places of scores that no other scores in the list could be taken for, the first of equals included."""
    kept: list[int] = []
    for place, these in enumerate(scores):
        if all(_differ(these, scores[other]) for other in kept):
            kept.append(place)
    return kept


def _differ(one: Scores, other: Scores) -> bool:
    return max(abs(one[name] - other.get(name, 0.0)) for name in one) > 2 * TOLERANCE


class _Recorder(httpx2.AsyncBaseTransport):
    """Notes each request of the call that sends it."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, clock: Callable[[], float]) -> None:
        self._inner, self._clock = inner, clock

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        begun_s = self._clock()
        status, wait_s = None, None
        try:
            response = await self._inner.handle_async_request(request)
            status, wait_s = response.status_code, retry_after_s(response.headers.get("retry-after", ""))
        finally:
            _attempts.get().append(Attempt(begun_s, self._clock(), status, wait_s))
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class Load:
    """Sends calls to the API at `url`, `per_s` a second, at most `max_open` at once. `per_s` may change at any time."""

    def __init__(self, url: str, corpus: Corpus, *, max_open: int = 64) -> None:
        self.per_s = 0.0
        self.calls: list[Call] = []
        self._url, self._corpus, self._max_open = url, corpus, max_open
        self._begun_s = 0.0
        self._open: set[asyncio.Task[None]] = set()

    def now_s(self) -> float:
        """Return the seconds since the load began."""
        return time.monotonic() - self._begun_s

    async def run(self, seconds: float) -> None:
        """Send for so many seconds, and wait until all calls have ended; those that do not end have failed."""
        self._begun_s = time.monotonic()
        async with self._client() as client:
            due_s, number = 0.0, 0
            while due_s < seconds:
                await asyncio.sleep(max(0.0, due_s - self.now_s()))
                if self.per_s:
                    self._send(client, number, due_s)
                    number += 1
                due_s += 1 / (self.per_s or 20.0)
            if self._open:
                await asyncio.wait(self._open, timeout=DRAIN_S)
            for task in tuple(self._open):
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    async def peak_per_s(self, seconds: float, n_callers: int) -> float:
        """Return how many right answers come in a second when so many callers ask without a pause."""
        self._begun_s = time.monotonic()
        async with self._client() as client:

            async def ask(first: int) -> int:
                n_right, number = 0, first
                while self.now_s() < seconds:
                    call = await self._call(client, number, self.now_s())
                    n_right += call.outcome == "right"
                    number += n_callers
                return n_right

            found = await asyncio.gather(*(ask(n) for n in range(n_callers)))
        return sum(found) / self.now_s()

    def _client(self) -> AsyncClient:
        limits = httpx2.Limits(max_connections=2 * self._max_open, max_keepalive_connections=self._max_open)
        transport = _Recorder(httpx2.AsyncHTTPTransport(limits=limits), self.now_s)
        http = httpx2.AsyncClient(transport=transport)
        return AsyncClient(self._url, timeout_s=API_S, retries=ONE_RETRY, http_client=http)

    def _send(self, client: AsyncClient, number: int, due_s: float) -> None:
        if len(self._open) >= self._max_open:
            self.calls.append(Call(number, due_s, due_s, "unsent"))
            return
        task = asyncio.create_task(self._keep(client, number, due_s))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _keep(self, client: AsyncClient, number: int, due_s: float) -> None:
        self.calls.append(await self._call(client, number, due_s))

    async def _call(self, client: AsyncClient, number: int, due_s: float) -> Call:
        attempts: list[Attempt] = []
        _attempts.set(attempts)
        outcome: Outcome = "failed"
        error = ""
        try:
            text = self._corpus.texts[number % len(self._corpus.texts)]
            result: Result[list[Label]] = await client.text_classification(text, model=self._corpus.model, top_k=None)
            outcome = "right" if self._corpus.is_right(number, result.only) else "wrong"
        except ApiError as failure:
            error = failure.code or type(failure).__name__
        except asyncio.CancelledError:
            error = "hung"
        return Call(number, due_s, self.now_s(), outcome, tuple(attempts), error)
