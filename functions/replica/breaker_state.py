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
    the one before it counts as the first. While open, no call passes for `recovery_s`, or for as long as the server
    asked, at most `most_open_s`. Then one call passes, the probe. Its lease ends after `lease_s`: another may then
    probe.
    """

    threshold: int = 5
    recovery_s: float = 5.0
    most_open_s: float = 30.0
    lease_s: float = 5.0
    window_s: float = 60.0


@dataclass(frozen=True, slots=True)
class BreakerState:
    """`failures` came one after the other without a success, the last at `failed_s`.

    It opened or closed last at `changed_s`. While it is open, a probe may pass from `probe_s` on. `lease` is the number
    of the last probe, which no other may join before `lease_until_s`; 0 means that none is out. `version` grows with
    each stored change; 0 means that nothing is stored.
    """

    is_open: bool = False
    failures: int = 0
    failed_s: float = 0.0
    changed_s: float = 0.0
    probe_s: float = 0.0
    lease: int = 0
    lease_until_s: float = 0.0
    version: int = 0

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
    state: BreakerState, call: Admission, now_s: float, rules: BreakerRules, *, late: bool, retry_after_s: float | None
) -> BreakerState:
    """Return the state after a call that showed that the server is down.

    Calls that were under way together tell of one event, such as the end of one replica among several. So a call that
    began before the last counted failure does not count. A `late` call does: it waited its whole time in vain.
    """
    if state.is_open:
        failed = replace(state, failures=state.failures + 1, failed_s=now_s)
        return _opened(failed, now_s, rules, retry_after_s) if call.lease == state.lease else state
    if call.began_s < state.changed_s or (not late and state.failures and call.began_s < state.failed_s):
        return state
    goes_on = state.failures and now_s - state.failed_s <= rules.window_s
    state = replace(state, failures=state.failures + 1 if goes_on else 1, failed_s=now_s)
    return state if state.failures < rules.threshold else _opened(state, now_s, rules, retry_after_s)


def after_success(state: BreakerState, call: Admission, now_s: float) -> BreakerState:
    """Return the state after a call that was answered. While open, only a probe of this opening closes it."""
    if not state.is_open:
        return replace(state, failures=0) if state.failures else state
    if call.lease is None or call.began_s < state.changed_s:
        return state
    return replace(state, is_open=False, failures=0, changed_s=now_s, lease_until_s=0.0)


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


def _opened(state: BreakerState, now_s: float, rules: BreakerRules, retry_after_s: float | None) -> BreakerState:
    wait_s = min(max(rules.recovery_s, retry_after_s or 0.0), rules.most_open_s)
    return replace(state, is_open=True, changed_s=now_s, probe_s=now_s + wait_s, lease_until_s=0.0)
