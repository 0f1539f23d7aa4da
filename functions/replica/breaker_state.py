"""The state of a circuit breaker as one frozen value that functions share, and the rules by which it changes.

Pure. Every function applies the same rules to the same value, so it does not matter which one writes. All times are
epoch seconds, or those of any one clock. Must not know where the value is stored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Phase = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When a breaker opens, and for how long.

    It opens at the `threshold`th failure without a success in between. A failure that comes more than `window_s` after
    the one before it counts as the first. While open, no call passes, and a probe may be sent every `recovery_s`. This
    time doubles, up to `most_open_s`, when it opens again after a good probe before any call succeeded. The lease of a
    probe ends after `lease_s`: another may then probe.

    Callers are told when the server is likely to be back: `typical_s` after the first failure, until it is known how
    long an outage takes. A server that stalls is replaced `stall_s` later than one that ends. See `back_in_s`.
    """

    threshold: int = 5
    recovery_s: float = 1.0
    most_open_s: float = 8.0
    lease_s: float = 2.5
    window_s: float = 60.0
    typical_s: float = 15.0
    stall_s: float = 10.0


MIN_TYPICAL_S, MAX_WAIT_S, MIN_WAIT_S = 5.0, 60.0, 1.0
MARGIN = 1.25  # times the last outage: a wait that is too short is worse than one that is too long
FORGET = 0.8  # times what an outage was expected to take: how fast shorter ones shorten it
AGE_SHARE = 0.25  # of its age, which an outage is expected to go on for at least


@dataclass(frozen=True, slots=True)
class BreakerState:
    """`failures` came one after the other without a success, the last at `failed_s`.

    It opened or closed last at `changed_s`. While it is open, a probe may pass from `probe_s` on. `lease` is the number
    of the last probe, which no other may join before `lease_until_s`; 0 means that none is out. `version` grows with
    each stored change; 0 means that nothing is stored.

    The first of the failures began at `since_s`. `is_stalled` says that calls waited in vain. The server asked to wait
    until `asked_s`. `openings` is how often it opened without a call that succeeded. An outage is expected to take
    `took_s`; 0 means that none was seen.
    """

    is_open: bool = False
    failures: int = 0
    failed_s: float = 0.0
    changed_s: float = 0.0
    probe_s: float = 0.0
    lease: int = 0
    lease_until_s: float = 0.0
    version: int = 0
    since_s: float = 0.0
    asked_s: float = 0.0
    took_s: float = 0.0
    openings: int = 0
    is_stalled: bool = False

    @property
    def phase(self) -> Phase:
        """What the log calls the state. Time alone does not change it."""
        if not self.is_open:
            return "closed"
        return "half-open" if self.lease_until_s else "open"


@dataclass(frozen=True, slots=True)
class Admission:
    """A call that may pass: when it began, and the number of its lease when it is the probe."""

    began_s: float
    lease: int | None = None


def after_failure(
    state: BreakerState, call: Admission, now_s: float, rules: BreakerRules, *, late: bool, retry_after_s: float | None,
    stalled: bool = False,
) -> BreakerState:  # fmt: skip
    """Return the state after a call that showed that the server is down.

    Calls that were under way together tell of one event, such as the end of one replica among several. So a call that
    began before the last counted failure does not count. A `late` call does: it waited its whole time in vain. One that
    found the server `stalled` opens the breaker alone, because nothing else was answered either.
    """
    if state.is_open:
        if call.lease != state.lease:
            return state
        failed = replace(state, failures=state.failures + 1, failed_s=now_s, is_stalled=state.is_stalled or late)
        return _opened(_asked(failed, now_s, retry_after_s), now_s, rules)
    if (
        call.lease is not None
        or call.began_s < state.changed_s
        or (not late and state.failures and call.began_s < state.failed_s)
    ):
        return state
    if not state.failures or now_s - state.failed_s > rules.window_s:
        state = replace(state, failures=0, since_s=call.began_s, is_stalled=False, asked_s=0.0, openings=0)
    failures = max(state.failures + 1, rules.threshold if stalled else 0)
    state = replace(state, failures=failures, failed_s=now_s, is_stalled=state.is_stalled or late)
    state = _asked(state, now_s, retry_after_s)
    if state.failures < rules.threshold:
        return state
    return _opened(replace(state, openings=state.openings + 1), now_s, rules)


def after_success(state: BreakerState, call: Admission, now_s: float, rules: BreakerRules) -> BreakerState:
    """Return the state after a call that was answered. While open, only a probe of this opening closes it.

    A probe shows less than a call. So the next failure opens it again, until a call succeeds.
    """
    if not state.is_open:
        return replace(state, failures=0, openings=0) if state.failures else state
    if call.lease is None or call.began_s < state.changed_s:
        return state
    age_s = now_s - state.since_s - (rules.stall_s if state.is_stalled else 0.0)
    took_s = max(MARGIN * age_s, FORGET * (state.took_s or rules.typical_s), MIN_TYPICAL_S)
    return replace(
        state, is_open=False, failures=rules.threshold - 1, changed_s=now_s, lease_until_s=0.0,
        took_s=min(took_s, MAX_WAIT_S),
    )  # fmt: skip


def after_release(state: BreakerState, call: Admission) -> BreakerState:
    """Return the state after a probe that showed nothing about the server: another may probe."""
    holds = state.is_open and call.lease == state.lease and state.lease_until_s
    return replace(state, lease_until_s=0.0) if holds else state


def after_claim(state: BreakerState, now_s: float, rules: BreakerRules) -> BreakerState:
    """Return the state in which the next probe is out, or the same state when none may pass now."""
    if not state.is_open or blocked_s(state, now_s) > 0:
        return state
    return replace(state, lease=state.lease + 1, lease_until_s=now_s + rules.lease_s)


def blocked_s(state: BreakerState, now_s: float) -> float:
    """Return the seconds until a call may pass; 0 when one may pass now."""
    if not state.is_open:
        return 0.0
    return max(0.0, state.probe_s - now_s, state.lease_until_s - now_s)


def back_in_s(state: BreakerState, now_s: float, rules: BreakerRules) -> float:
    """Return after how many seconds a server that fails is likely to be back.

    It is what outages took before, or what the server asked for if that is longer. One that lasts longer than that is
    expected to last a quarter of its age more.
    """
    age_s = max(0.0, now_s - state.since_s)
    expected_s = (state.took_s or rules.typical_s) + (rules.stall_s if state.is_stalled else 0.0)
    return min(max(expected_s - age_s, state.asked_s - now_s, AGE_SHARE * age_s, MIN_WAIT_S), MAX_WAIT_S)


def _asked(state: BreakerState, now_s: float, retry_after_s: float | None) -> BreakerState:
    return state if retry_after_s is None else replace(state, asked_s=now_s + retry_after_s)


def _opened(state: BreakerState, now_s: float, rules: BreakerRules) -> BreakerState:
    wait_s = min(rules.recovery_s * 2.0 ** min(max(state.openings - 1, 0), 10), rules.most_open_s)
    return replace(state, is_open=True, changed_s=now_s, probe_s=now_s + wait_s, lease_until_s=0.0)
