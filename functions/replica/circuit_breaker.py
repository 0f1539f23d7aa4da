"""The circuit breaker of one model: stops calls to a server that is down, and lets one caller ask when it is back.

Functions share its state through a store. A call that succeeds while all is well asks the store nothing. When the store
fails, each function goes on with its own copy. Must not know HTTP or the model server.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from threading import Lock

from functions.replica.breaker_state import (
    Admission,
    BreakerRules,
    BreakerState,
    Phase,
    after_claim,
    after_failure,
    after_release,
    after_success,
    back_in_s,
)
from functions.replica.breaker_store import BreakerStore
from shared.errors import Unavailable
from shared.log import log_event

MAX_TRIES = 4  # of one change, when others keep changing the state
READ_EVERY_S = 1.0  # the least time between two reads of a function
STORE_REST_S = 5.0  # a store that failed is left alone for so long
Change = Callable[[BreakerState], BreakerState]


class CircuitBreaker:
    """Closed: every call passes. Open: no call passes. Half-open: a probe is out. See `BreakerRules`.

    The caller reports the result of every admitted call once, with `success`, `failure` or `release`, and passes what
    `admit` returned. One with a lease is no call, but the right to send a probe. Failures of all functions count
    together. The store is written when the state changes. It is read only while a probe is due or out, at most once in
    READ_EVERY_S.
    """

    def __init__(
        self,
        model: str,
        store: BreakerStore,
        rules: BreakerRules | None = None,
        *,
        on_change: Callable[[Phase], None] = lambda _: None,
    ) -> None:
        self._model = model
        self._store = store
        self._rules = rules or BreakerRules()
        self._on_change = on_change
        self._lock = Lock()  # held while the store is asked
        self._seen = BreakerState()  # the last known state; replaced as a whole, so it is read without the lock
        self._read_s = self._lost_s = float("-inf")

    @property
    def phase(self) -> Phase:
        """The state after the last event. Time alone does not change it."""
        return self._seen.phase

    def back_in_s(self) -> float | None:
        """Return after how many seconds the server is likely to be back; None while nothing fails."""
        seen = self._seen
        failing = seen.is_open or seen.failures
        return back_in_s(seen, self._store.now_s(), self._rules) if failing else None

    def admit(self) -> Admission:
        """Let one call pass, or one probe. Raises Unavailable, with seconds to wait, when none may pass."""
        now_s, seen = self._store.now_s(), self._seen
        if not seen.is_open:
            return Admission(now_s)
        if seen.probe_s > now_s:  # known without asking anybody, and so refused at once
            raise self.refusal()
        with self._lock:
            if now_s >= self._read_s + READ_EVERY_S:
                self._refresh(now_s)
            claimed = self._change(lambda state: after_claim(state, now_s, self._rules))
            if claimed is not None:
                return Admission(now_s, claimed.lease)
            if not self._seen.is_open:
                return Admission(now_s)
            raise self.refusal()

    def success(self, call: Admission) -> None:
        """Report that an admitted call was answered."""
        if self._seen.is_open or self._seen.failures:
            self._report(lambda state: after_success(state, call, self._store.now_s(), self._rules))

    def failure(
        self, call: Admission, *, late: bool = False, stalled: bool = False, retry_after_s: float | None = None
    ) -> None:
        """Report that an admitted call failed in a way that shows that the server is down.

        `late` says that it waited its whole time for a reply, `stalled` that nothing else was answered meanwhile.
        `retry_after_s` is what the server asked for.
        """
        now_s = self._store.now_s()
        self._report(
            lambda state: after_failure(
                state, call, now_s, self._rules, late=late, retry_after_s=retry_after_s, stalled=stalled
            )
        )

    def release(self, call: Admission) -> None:
        """Report that an admitted call showed nothing about the server. Another probe may then pass."""
        if call.lease is not None:
            self._report(lambda state: after_release(state, call))

    def refusal(self) -> Unavailable:
        """Return the error of a call that may not pass. Its seconds say when the server is likely to be back."""
        return Unavailable(
            f"the model server failed {self._seen.failures} times in a row, expected it back soon",
            retry_after_s=self.back_in_s(),
        )

    def _report(self, change: Change) -> None:
        with self._lock:
            self._change(change)

    def _change(self, change: Change) -> BreakerState | None:
        """Change the shared state, or the own copy while the store is lost. Return None when nothing was changed."""
        for _ in range(MAX_TRIES):
            before = self._seen
            after = change(before)
            if after == before:
                return None
            if self._store.now_s() < self._lost_s + STORE_REST_S:
                return self._keep(after)
            try:
                after = replace(after, version=before.version + 1)
                stored, now = self._store.swap(self._model, after, replaces=before.version)
            except Exception as error:  # noqa: BLE001 - whatever the store does, no call may fail of it
                self._lose(error)
                return self._keep(replace(after, version=before.version))
            self._keep(now or BreakerState())
            if stored:
                return after
        return None

    def _refresh(self, now_s: float) -> None:
        """Read the shared state. While the store is lost, the own copy stays, and what it learnt since then too."""
        if now_s < self._lost_s + STORE_REST_S:
            return
        self._read_s = now_s
        try:
            stored = self._store.read(self._model) or BreakerState()
            if stored.version != self._seen.version:
                self._keep(stored)
        except Exception as error:  # noqa: BLE001 - as above
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        self._lost_s = self._store.now_s()
        log_event("breaker-store", level="warning", model=self._model, error_type=type(error).__name__)

    def _keep(self, state: BreakerState) -> BreakerState:
        """Keep a state. A clock that runs ahead elsewhere cannot close this function off for longer than the rules."""
        now_s, before = self._store.now_s(), self._seen
        self._seen = replace(
            state,
            probe_s=min(state.probe_s, now_s + self._rules.most_open_s),
            lease_until_s=min(state.lease_until_s, now_s + self._rules.lease_s),
        )
        if state.phase != before.phase:
            self._on_change(state.phase)
        return state
