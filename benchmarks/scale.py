"""Prints what 1 to 10,000 requests a second need, on paper: replicas, latency, functions, dollars, and what is full.

    python -m benchmarks.scale [--write docs/scale.md]

Replicas are simulated with the times that `benchmarks.serving` has measured. Machines and prices are those of
`glossa cost`. It starts nothing, and always prints the same. Must not know how a queue or a price is computed.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

from benchmarks import ROOT
from benchmarks.load.autoscaling import Policy, follow, outcome
from benchmarks.load.bottlenecks import Part, first, full, in_order, open_at_once
from benchmarks.load.fleet import Fleet, latencies_s
from glossa.cost.model import MILLION, fixed_dollars_per_hour, text_lambda_dollars
from glossa.cost.prices import Machine, Prices, load_prices
from glossa.cost.tables import money
from serve.deployment_options import MAX_ONGOING, MAX_QUEUED, TARGET_ONGOING
from shared.catalog import MAX_REPLICAS

RATES = (1.0, 10.0, 100.0, 1000.0, 10_000.0)
MACHINES = ("c8a.large", "g6.xlarge")
LENGTHS = (18, 25, 40, 60, 75, 90, 110, 150)  # tokens of short texts with a mean of 71, that of the benchmark
UTILIZATION = 0.7
MIN_REPLICAS = 2
SIMULATED = 16  # replicas at most: more of them wait no longer, since each has the same share of the load
N_CALLS = 10_000
EVENT_LOOP_S = 0.00041  # of a replica for each call, beside its passes (benchmarks/notes/where-the-time-goes.md)
PROXY_CORES_S = 0.06 / 1006  # of HAProxy for each call (likewise)
API_GATEWAY_PER_S, LAMBDA_AT_ONCE = 10_000.0, 1000.0  # what AWS gives a new account; both can be raised
READY_S = (15.0, 60.0, 120.0, 300.0)
STEP, BEFORE_S, AFTER_S = 10.0, 60, 840  # the load grows so many times at once, and stays there
MS = 1000.0
BEGIN, END = "<!-- tables: benchmarks.scale -->", "<!-- end of tables -->"


@dataclass(frozen=True, slots=True)
class Measured:
    """What a benchmark of the model server says: `call_s` for each call beside its tokens, `wire_s` for a lone one."""

    call_s: float
    wire_s: float


def measured(name: str) -> Measured:
    """Read the kept results of a benchmark of serving. Raises LookupError when a figure is missing."""
    kept = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    rows = {(row["system"], row["metric"]): row["value"] for report in kept["reports"] for row in report["rows"]}
    ours = "glossa, Ray Serve, HAProxy"
    per_s, tokens_per_s = rows[ours, "1 x 64: requests/s"], rows[ours, "1 x 64: tokens/s"]
    engine = rows["glossa engine alone", "tokens/s"]
    return Measured(1 / per_s - tokens_per_s / per_s / engine, rows[ours, "ms a lone request costs over its pass"] / MS)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one rate needs on one kind of machine. `open` is how many functions run at once in the mean."""

    per_s: float
    n_replicas: int
    p50_ms: float
    p99_ms: float
    open: float
    dollars: float
    parts: tuple[Part, ...]


def one_replica(machine: Machine) -> tuple[Fleet, float]:
    """Return a replica on a machine, and what a call costs besides. A GPU computes while the CPU handles calls.

    Raises ValueError for a machine whose rate nobody knows.
    """
    if machine.tokens_per_s is None:
        raise ValueError(f"got machine {machine.name} without tokens_per_s, expected a measured or computed rate")
    times = measured("serving-base")
    call_s = EVENT_LOOP_S if machine.name.startswith("g") else times.call_s
    return Fleet(1, machine.tokens_per_s, call_s), times.wire_s


def plan(prices: Prices, machine: Machine, per_s: float) -> Plan:
    """Return what a rate needs on machines of one kind, one replica each."""
    replica, wire_s = one_replica(machine)
    tokens = mean(LENGTHS)
    needed = max(MIN_REPLICAS, math.ceil(per_s / (replica.most_per_s(tokens) * UTILIZATION)))
    simulated = min(needed, SIMULATED)
    fleet = replace(replica, n_replicas=simulated)
    found = sorted(latencies_s(LENGTHS, fleet, per_s=per_s * simulated / needed, n_calls=N_CALLS))
    seconds = mean(found) + wire_s
    hourly = needed * machine.dollars_per_hour * (1 + prices.dollars("eks_auto_mode_share"))
    dollars = (hourly + fixed_dollars_per_hour(prices)) / (per_s * 3600) * MILLION + text_lambda_dollars(prices)
    return Plan(
        per_s=per_s,
        n_replicas=needed,
        p50_ms=(found[len(found) // 2] + wire_s) * MS,
        p99_ms=(found[int(len(found) * 0.99)] + wire_s) * MS,
        open=open_at_once(per_s, seconds),
        dollars=dollars,
        parts=tuple(parts(replica.most_per_s(tokens), needed, seconds)),
    )


def parts(replica_per_s: float, n_replicas: int, seconds: float) -> Iterator[Part]:
    """Yield what bounds the requests of each second, where each takes so many seconds in the function."""
    throttle, at_once = default_of("ThrottleRate"), default_of("InferConcurrency")
    yield Part("the API's own throttle", throttle, f"`ThrottleRate` = {throttle:.0f}/s", "the parameter")
    yield Part("`infer` at once", at_once / seconds, f"`InferConcurrency` = {at_once:.0f}", "the parameter")
    yield Part(
        "functions of the account", LAMBDA_AT_ONCE / seconds, f"{LAMBDA_AT_ONCE:,.0f} at once in a new account", "AWS"
    )
    yield Part(
        "API Gateway", API_GATEWAY_PER_S, f"{API_GATEWAY_PER_S:,.0f}/s for each account and region", "AWS"
    )  # fmt: skip
    yield Part(
        "replicas of one model", replica_per_s * MAX_REPLICAS * UTILIZATION,
        f"{MAX_REPLICAS} replicas at most, busy to {UTILIZATION:.0%}",
        "larger machines, or a second model name",
    )  # fmt: skip
    yield Part(
        "proxies", n_replicas / PROXY_CORES_S, "one core on each node, computed from 0.06 ms a call", "more nodes"
    )


def default_of(parameter: str) -> float:
    """Return the default of a parameter of template.yaml. Raises LookupError when there is none."""
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    found = re.search(rf"^  {parameter}:\n(?:    .*\n)*?    Default: (\d+)$", text, re.MULTILINE)
    if found is None:
        raise LookupError(f"got no number as default of {parameter} in template.yaml, expected one")
    return float(found[1])


def all_tables(prices: Prices) -> str:
    """Return every table in Markdown."""
    machines = [machine for machine in prices.machine if machine.name in MACHINES]
    plans = {machine.name: [plan(prices, machine, per_s) for per_s in RATES] for machine in machines}
    texts = [_needs(machines, plans), _order(plans[MACHINES[0]][-1]), _steps(machines)]
    return "\n\n".join("\n".join(lines) for lines in texts)


def _needs(machines: Sequence[Machine], plans: dict[str, list[Plan]]) -> Iterator[str]:
    yield f"**What a rate needs**, for short texts of a base model, at {UTILIZATION:.0%} of what replicas can do."
    yield ""
    yield "| requests/s | machine | replicas | p50 | p99 | functions at once | $ a million | full by default |"
    yield "|---" * 8 + "|"
    for number, per_s in enumerate(RATES):
        for machine in machines:
            found = plans[machine.name][number]
            names = ", ".join(part.name for part in full(found.parts, per_s)) or "nothing"
            latency = f"{found.p50_ms:.0f} ms | {found.p99_ms:.0f} ms"
            yield (
                f"| {per_s:,.0f} | {machine.name} | {found.n_replicas:,} | {latency}"
                f" | {max(found.open, 1):,.0f} | {money(found.dollars)} | {names} |"
            )


def _order(found: Plan) -> Iterator[str]:
    yield f"**What is full first**, on the way to {found.per_s:,.0f} requests/s on {MACHINES[0]}:"
    yield f"{first(found.parts).name}, then the rest in this order."
    yield ""
    yield "| part | lets pass | because of | who raises it |"
    yield "|---|---|---|---|"
    for part in in_order(found.parts):
        yield f"| {part.name} | {part.most_per_s:,.0f}/s | {part.basis} | {part.raised_by} |"


def _steps(machines: Sequence[Machine]) -> Iterator[str]:
    yield f"**When the load grows {STEP:.0f} times at once.** Two replicas are busy to a third, {MAX_REPLICAS} may run."
    yield f"Ray wants one for each {TARGET_ONGOING:.0f} open calls, after 10 s."
    yield "Callers are behind while one is refused, or waits over 2 s."
    yield ""
    yield "| machine | a new replica answers after | refused in 14 minutes | longest wait | callers are behind for |"
    yield "|---|---|---|---|---|"
    for machine in machines:
        replica, wire_s = one_replica(machine)
        most_per_s = replica.most_per_s(mean(LENGTHS))
        calm = MIN_REPLICAS * most_per_s / 3
        for ready_s in READY_S:
            policy = Policy(
                minimum=MIN_REPLICAS, maximum=MAX_REPLICAS, replica_per_s=most_per_s, call_s=wire_s,
                target_open=TARGET_ONGOING, ready_s=ready_s, max_open=float(MAX_ONGOING + MAX_QUEUED),
            )  # fmt: skip
            seen = outcome(list(follow([calm] * BEFORE_S + [calm * STEP] * AFTER_S, policy)))
            yield (
                f"| {machine.name} | {ready_s:.0f} s | {seen.refused_share:.1%} | {seen.longest_wait_s:.1f} s"
                f" | {seen.behind_s:.0f} s |"
            )


def fill(page: str, prices: Prices) -> str:
    """Return a page with the tables between its two marks. Raises ValueError when a mark is missing."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"got a page without the marks {BEGIN} and {END}, expected both")
    return f"{head}{BEGIN}\n{all_tables(prices)}\n{END}{tail}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, or put them into a page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into this page instead")
    asked = parser.parse_args(arguments)
    if asked.write is None:
        print(all_tables(load_prices()))
    else:
        page = asked.write.read_text(encoding="utf-8")
        asked.write.write_text(fill(page, load_prices()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
