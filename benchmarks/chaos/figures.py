"""Computes the figures of one run from what was seen. Pure.

The SLI is that of the SLAs of machine learning services on AWS: the mean over intervals of 1 - (5xx / requests). Their
interval is five minutes; a short run is divided into shorter ones. Must not know scenarios, or who sends.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.chaos.calls import Attempt, Call, Happening, Seen

SHORT_INTERVAL_S, INTERVAL_S = 5.0, 300.0
LONG_RUN_S = 1500.0  # five intervals of five minutes
SLOW_S = 2.0  # a caller that waits longer is said to hang
LOOK_S = 2.0  # after a Retry-After has passed, the next request within this time says whether it was right
MS = 1000.0


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one run. None says that nothing happened that could be measured.

    `sli` counts each HTTP request, `success` each call with its retries, and `first_try` calls that needed none.
    `calm` is before the fault, and `fault` is from its begin to its end. Latencies count from when a call was due.
    `notice_s` is how long after a fault nobody waits over two seconds any more. `recover_s` is how long after it, or
    after what ends it, the first request is answered after the last bad one. `in_flight_s` is the longest that a
    request open at the fault still took. `amplification` is calls that reached the model server for each call of ours.
    `honest_waits` is the share of refusals after whose Retry-After the service did answer. `growth` is the memory
    of a part at the end ÷ that at the begin, of the part that grew most; `file_growth` counts open files and sockets.
    """

    n_calls: int
    n_requests: int
    n_wrong: int
    n_unsent: int
    sli: float
    success: float
    first_try: float
    slowest_request_s: float
    p50_calm_ms: float | None
    p99_calm_ms: float | None
    p50_fault_ms: float | None
    p99_fault_ms: float | None
    p99_ratio: float | None
    n_refused: int
    refusal_p50_ms: float | None
    refusal_p99_ms: float | None
    refusals_with_wait: float | None
    honest_waits: float | None
    in_flight_s: float | None
    notice_s: float | None
    recover_s: float | None
    requests_per_call: float
    amplification: float | None
    goodput_per_s: float | None
    goodput_share: float | None
    growth: float | None
    file_growth: float | None
    jobs_lost: float | None
    dead_letters: float | None


def figures(seen: Seen) -> Figures:
    """Return the figures of a run. Raises ValueError when nothing was sent."""
    sent = [call for call in seen.calls if call.outcome != "unsent"]
    if not sent:
        raise ValueError("got a run without calls, expected some")
    attempts = sorted((each for call in sent for each in call.attempts), key=lambda each: each.begun_s)
    calm = _latencies_ms(sent, 0.0, seen.calm_s)
    during = _latencies_ms(sent, seen.calm_s, seen.fault_ends_s)
    p99_calm, p99_fault = percentile(calm, 99), percentile(during, 99)
    refusals = [each for each in attempts if each.is_refusal]
    waits = [each.seconds * MS for each in refusals]
    goodput = _goodput_per_s(sent, seen.calm_s, seen.fault_ends_s)
    job = seen.job
    return Figures(
        n_calls=len(sent),
        n_requests=len(attempts),
        n_wrong=sum(call.outcome == "wrong" for call in sent),
        n_unsent=len(seen.calls) - len(sent),
        sli=sli(attempts, seen.ends_s),
        success=sum(call.outcome == "right" for call in sent) / len(sent),
        first_try=sum(bool(call.attempts) and call.attempts[0].is_good for call in sent) / len(sent),
        slowest_request_s=max((each.seconds for each in attempts), default=0.0),
        p50_calm_ms=percentile(calm, 50),
        p99_calm_ms=p99_calm,
        p50_fault_ms=percentile(during, 50),
        p99_fault_ms=p99_fault,
        p99_ratio=p99_fault / p99_calm if p99_calm and p99_fault is not None else None,
        n_refused=len(refusals),
        refusal_p50_ms=percentile(waits, 50),
        refusal_p99_ms=percentile(waits, 99),
        refusals_with_wait=_share(each.retry_after_s is not None for each in refusals),
        honest_waits=honest_waits(attempts),
        in_flight_s=in_flight_s(attempts, seen.happenings),
        notice_s=_longest(notices_s(attempts, seen.happenings, seen.ends_s)),
        recover_s=_longest(recoveries_s(attempts, seen.happenings, seen.ends_s)),
        requests_per_call=len(attempts) / len(sent),
        amplification=None if seen.n_upstream is None else seen.n_upstream / len(sent),
        goodput_per_s=goodput,
        goodput_share=goodput / seen.peak_per_s if seen.peak_per_s and goodput is not None else None,
        growth=_growth(seen, "rss_bytes"),
        file_growth=_growth(seen, "n_files"),
        jobs_lost=None if job is None else float(job.rows != job.records or job.state != "SUCCEEDED"),
        dead_letters=None if job is None else float(job.dead_letters),
    )


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Return the smallest value that is at least as large as `percent` of all; None for no values."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def sli(attempts: Iterable[Attempt], ends_s: float) -> float:
    """Return the mean over intervals of 1 - (5xx / requests). An interval without requests counts as 1."""
    interval_s = INTERVAL_S if ends_s >= LONG_RUN_S else SHORT_INTERVAL_S
    counted: dict[int, list[bool]] = defaultdict(list)
    for each in attempts:
        counted[int(each.begun_s / interval_s)].append(each.is_server_error)
    n_intervals = max(math.ceil(ends_s / interval_s), 1, *(number + 1 for number in counted))
    lost = sum(sum(errors) / len(errors) for errors in counted.values())
    return 1.0 - lost / n_intervals


def honest_waits(attempts: Sequence[Attempt]) -> float | None:
    """Return the share of refusals that were right about when to come again.

    A refusal is judged by the first request that anybody began after its Retry-After had passed, within two seconds.
    Refusals without such a request are not judged.
    """
    judged = []
    for each in attempts:
        if each.is_refusal and each.retry_after_s is not None:
            back_s = each.ended_s + each.retry_after_s
            later = next((other for other in attempts if back_s <= other.begun_s < back_s + LOOK_S), None)
            if later is not None:
                judged.append(later.is_good)
    return _share(judged)


def in_flight_s(attempts: Iterable[Attempt], happenings: Sequence[Happening]) -> float | None:
    """Return the longest that a request which was open at a fault still took; None when none was open."""
    faults = [each.at_s for each in happenings if each.is_fault]
    left = [each.ended_s - at_s for each in attempts for at_s in faults if each.begun_s <= at_s < each.ended_s]
    return max(left, default=None)


def notices_s(attempts: Sequence[Attempt], happenings: Sequence[Happening], ends_s: float) -> Iterator[float]:
    """Yield for each fault after how many seconds nobody waits over two seconds any more."""
    for fault_s, _, until_s in _windows(happenings, ends_s):
        slow = [each.begun_s for each in attempts if fault_s <= each.begun_s < until_s and each.seconds > SLOW_S]
        yield max(slow) + SLOW_S - fault_s if slow else 0.0


def recoveries_s(attempts: Sequence[Attempt], happenings: Sequence[Happening], ends_s: float) -> Iterator[float]:
    """Yield for each fault how long after it, or after what ends it, a request is answered after the last bad one.

    A bad request is not answered, or only after two seconds. Infinity says that none was answered any more.
    """
    for fault_s, healed_s, until_s in _windows(happenings, ends_s):
        after = [each for each in attempts if fault_s <= each.begun_s < until_s]
        bad = [each.begun_s for each in after if not each.is_good or each.seconds > SLOW_S]
        if not bad:
            yield 0.0
            continue
        good = (each.ended_s for each in after if each.begun_s > max(bad))
        yield max(0.0, min(good, default=math.inf) - healed_s)


def _windows(happenings: Sequence[Happening], ends_s: float) -> Iterator[tuple[float, float, float]]:
    """Yield for each fault its time, the time of what ends it (its own without), and the time of the next fault."""
    faults = sorted(each.at_s for each in happenings if each.is_fault)
    heals = sorted(each.at_s for each in happenings if each.heals)
    for fault_s, until_s in pairwise([*faults, ends_s]):
        yield fault_s, next((at_s for at_s in heals if fault_s <= at_s < until_s), fault_s), until_s


def _latencies_ms(calls: Iterable[Call], begins_s: float, ends_s: float) -> list[float]:
    return [call.seconds * MS for call in calls if begins_s <= call.due_s < ends_s and call.outcome == "right"]


def _goodput_per_s(calls: Iterable[Call], begins_s: float, ends_s: float) -> float | None:
    """Return the right answers per second that came in a span of time; None for no time."""
    n_right = sum(call.outcome == "right" and begins_s <= call.ended_s < ends_s for call in calls)
    return n_right / (ends_s - begins_s) if ends_s > begins_s else None


def _growth(seen: Seen, field: str) -> float | None:
    """Return by how much the part that grew most has grown: its median at the end ÷ its median at the begin.

    Begin and end are the first and the last fifth of the time that was seen.
    """
    series: dict[str, list[float]] = defaultdict(list)
    for each in seen.usage:
        series[each.part].append(float(getattr(each, field)))
    grown = []
    for values in series.values():
        fifth = max(1, len(values) // 5)
        first, last = percentile(values[:fifth], 50), percentile(values[-fifth:], 50)
        if first and last is not None:
            grown.append(last / first)
    return max(grown, default=None)


def _share(found: Iterable[bool]) -> float | None:
    values = list(found)
    return sum(values) / len(values) if values else None


def _longest(found: Iterable[float]) -> float | None:
    return max(found, default=None)
