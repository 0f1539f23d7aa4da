"""Measures our server under load of mixed lengths: throughput, latency by length, and the longest wait.

    python -m benchmarks.scheduler [--size base|mini] [--rounds N] [--seconds S]

There are three classes of length: short (at most 128 tokens), middle, and long (over 256). Each comes from a client of
its own, so that its latency is seen apart. Its share of the requests is its share of the mix. First the capacity is
measured: 64 connections, all rows mixed. Then loads of 70 % of the capacity with exponential pauses: the short class
alone at its own rate, and all classes together. A lone request is one connection with one class.

Ours is compared with servers that nobody can build: parallel passes without any overhead (benchmarks.load.queueing).
Their latencies are what queueing alone costs. They get the same rows at the same rate, and have the capacity that was
measured in this run. The goal is a p99 of at most 1.25 times theirs in our order. With `--cores` no server runs: the
latencies on more cores are simulated from the engine's speed on one core and on two.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median, quantiles

from benchmarks.harness.scaling import add_cores, measured, scaling_report
from benchmarks.harness.servers import RequestInput, Server, request_of, running_server
from benchmarks.inputs.checkpoints import add_tokenizer, config_of, make
from benchmarks.inputs.workload import rows_of, texts_of
from benchmarks.load.generator import LoadResult, send_load
from benchmarks.load.queueing import Order, latencies
from benchmarks.load.wrk import MISSING, find_wrk
from benchmarks.reporting.figures import Figures
from benchmarks.reporting.hardware_limit import flop_per_token
from benchmarks.reporting.report import CANNOT_RUN, Goal, Report, at_most, finish, options, progress
from benchmarks.serving import group_requests, tokens_answered
from serve.scheduling.batch import Tuning

OURS = Server("glossa, Ray Serve, HAProxy", "ours", "bfloat16")
MIX = "sib-mix"
SHORT_TOKENS, LONG_TOKENS = 128, 256
BUSY_CONNECTIONS, LOAD = 64, 0.7
PAUSE_S = 4.0  # longer than an answer, so that the rate holds; shorter than the silence that a connection may keep
MOST_TIMES_IDEAL, MOST_TIMES_WITHOUT = 1.25, 3.0
TIMES_LONE, TIMES_SLOW_LONE = "p99 over a lone one", "p99 over a lone one's p99"
IDEAL_PASSES = "parallel passes without overhead"
TIMES_IDEAL = f"p99 over {IDEAL_PASSES}"
OUR_ORDER: Order = "due"
N_ROUNDS, SECONDS, QUICK_S = 3, 30.0, 2.0
LONE_S, BUSY_S = 10.0, 15.0
MAX_BATCH_MS, TOKEN_BUDGET = 60.0, 4096  # the defaults of the catalog, which this server uses
N_PARALLEL_PASSES = 2  # of its two cores
IDEALS: tuple[Order, ...] = ("arrival", "least left", "due")


def main() -> int:
    """Measure one size."""
    parser = options(__doc__)
    parser.add_argument("--size", choices=("base", "mini"), default="base")
    parser.add_argument("--rounds", type=int, help=f"how often the server is started and measured ({N_ROUNDS})")
    parser.add_argument("--seconds", type=float, help=f"how long the load at 70 %% lasts ({SECONDS:g})")
    parser.add_argument("--checkpoints", type=Path, default=Path("build/bench"), help="where made checkpoints are kept")
    add_cores(parser)
    chosen = parser.parse_args()
    if chosen.cores is not None:
        return finish([_more_cores(chosen)], as_json=chosen.json)
    if find_wrk() is None:
        progress(MISSING)
        return CANNOT_RUN
    checkpoint = add_tokenizer(make(chosen.size, "classification", chosen.checkpoints))
    request_inputs = group_requests(rows_of(MIX, config_of(chosen.size).vocab_size), texts_of(MIX), 1)
    figures = Figures()
    with tempfile.TemporaryDirectory() as work, running_server(OURS, checkpoint) as port:
        load = _Loads(request_inputs, port, Path(work), chosen)
        for number in range(chosen.rounds or (1 if chosen.quick else N_ROUNDS)):
            progress(f"round {number + 1}")
            load.measure(figures)
    _note_times_lone(figures, request_inputs)
    rows = tuple(figures.rows())
    return finish([Report("scheduler", f"{chosen.size}, {MIX}", rows, tuple(_goals(figures)))], as_json=chosen.json)


def _more_cores(chosen: argparse.Namespace) -> Report:
    """Measure the engine on one core and on two, and simulate the latencies of each class of length on more."""
    config = config_of(chosen.size)
    rows = rows_of(MIX, config.vocab_size)
    checkpoint = make(chosen.size, "classification", chosen.checkpoints)
    speeds = measured(checkpoint, rows, chosen.cores, quick=chosen.quick)
    workload, n_weights = f"{chosen.size}, {MIX}, more cores", flop_per_token(config) / 2
    return scaling_report(workload, speeds, chosen.cores, n_weights, [len(row) for row in rows], class_of)


def class_of(n_tokens: int) -> str:
    """Return the class of length of a row."""
    return "short" if n_tokens <= SHORT_TOKENS else "long" if n_tokens > LONG_TOKENS else "middle"


def wait_bound_s(n_tokens_before: int, longest_tokens: int, budget_tokens: int, tokens_per_s: float) -> float:
    """Return how many seconds a row of the only tenant and class may wait. It is stricter than the scheduler's bound.

    Before the row go at most: the tokens that came before it, `slack` times its own tokens that come later, the longest
    row, and the part of the batch bound that belongs to one parallel pass.
    """
    last_tokens = budget_tokens + longest_tokens
    return (n_tokens_before + Tuning().slack_factor * longest_tokens + last_tokens) / tokens_per_s


class _Loads:
    """The loads of one round on a running server."""

    def __init__(
        self, request_inputs: Sequence[RequestInput], port: int, work: Path, chosen: argparse.Namespace
    ) -> None:
        self._port, self._work, self._quick = port, work, chosen.quick
        self._seconds = chosen.seconds or (QUICK_S if chosen.quick else SECONDS)
        self._all = request_inputs
        self._classes: dict[str, list[RequestInput]] = {}
        for request_input in request_inputs:
            self._classes.setdefault(class_of(request_input.n_tokens), []).append(request_input)

    def measure(self, figures: Figures) -> None:
        """Measure everything once."""
        self._drive("warm", self._all, BUSY_CONNECTIONS, QUICK_S)
        for name in ("short", "long"):
            alone = self._drive(name, self._classes[name], 1, QUICK_S if self._quick else LONE_S)
            self._note(figures, f"lone {name}", alone)
        busy_s = QUICK_S if self._quick else BUSY_S
        busy = self._drive("busy", self._all, BUSY_CONNECTIONS, busy_s, waits=True, lead_s=QUICK_S)
        tokens_per_s = tokens_answered(self._all, busy.n_good) / busy.seconds
        figures.note("tokens/s", "all, 64 connections", tokens_per_s)
        self._note(figures, "all, 64 connections", busy)
        self._note_wait(figures, busy, tokens_per_s)
        rate = LOAD * busy.n_good / busy.seconds
        alone = self._together(rate, ["short"])["short"]
        self._note(figures, "short, without the others", alone)
        for name, loaded in self._together(rate, list(self._classes)).items():
            self._note(figures, f"{name}, at 70 %", loaded)
            figures.note("requests/s", f"{name}, at 70 %", loaded.n_good / loaded.seconds)

    def _together(self, rate: float, names: Sequence[str]) -> dict[str, LoadResult]:
        """Send several classes at the same time, each at its share of `rate` requests/s."""
        with ThreadPoolExecutor(len(names)) as clients:
            sent = {name: clients.submit(self._class_load, name, rate) for name in names}
            return {name: future.result() for name, future in sent.items()}

    def _class_load(self, name: str, rate: float) -> LoadResult:
        """Send one class. The number of connections and their pauses give the rate of the class."""
        share = len(self._classes[name]) / len(self._all)
        own_rate = max(rate * share, 1e-3)
        connections = max(1, round(own_rate * PAUSE_S))
        return self._drive(name, self._classes[name], connections, self._seconds, connections / own_rate * 1e3)

    def _drive(
        self,
        name: str,
        request_inputs: Sequence[RequestInput],
        connections: int,
        seconds: float,
        pause_ms: float = 0.0,
        *,
        waits: bool = False,
        lead_s: float = 0.0,
    ) -> LoadResult:
        requests = [request_of(OURS, request_input, self._port) for request_input in request_inputs]
        return send_load(
            requests, self._port, self._work,
            connections=connections, seconds=seconds, pause_ms=pause_ms, waits=waits, lead_s=lead_s, name=name,
        )  # fmt: skip

    def _note(self, figures: Figures, system: str, loaded: LoadResult) -> None:
        progress(f"  {system}: {loaded.n_good} answered in {loaded.seconds:.1f} s")
        figures.note("p50 ms", system, loaded.p50_ms)
        figures.note("p99 ms", system, loaded.p99_ms)
        if loaded.n_refused or loaded.n_broken:
            figures.note("refused", system, loaded.n_refused)
            figures.note("broken", system, loaded.n_broken)

    def _note_wait(self, figures: Figures, busy: LoadResult, tokens_per_s: float) -> None:
        """Note the longest wait and its bound. Before a row are at most the rows of all other connections."""
        sizes = sorted((request_input.n_tokens for request_input in self._all), reverse=True)
        budget_tokens = max(1, min(TOKEN_BUDGET, int(tokens_per_s * MAX_BATCH_MS / 1e3)) // N_PARALLEL_PASSES)
        bound_s = wait_bound_s(sum(sizes[: BUSY_CONNECTIONS - 1]), sizes[0], budget_tokens, tokens_per_s)
        figures.note("longest wait ms", "all, 64 connections", busy.longest_wait_s * 1e3)
        figures.note("bound of the wait ms", "all, 64 connections", bound_s * 1e3)


def _note_times_lone(figures: Figures, request_inputs: Sequence[RequestInput]) -> None:
    """Note the p99 of each class over its lone request: ours, and of parallel passes without overhead."""
    for name in ("short", "long"):
        p99, lone = figures.median("p99 ms")[f"{name}, at 70 %"], figures.median("p50 ms")[f"lone {name}"]
        figures.note(TIMES_LONE, f"{name}, at 70 %", p99 / lone)
        figures.note(TIMES_SLOW_LONE, f"{name}, at 70 %", p99 / figures.median("p99 ms")[f"lone {name}"])
    sizes = [request_input.n_tokens for request_input in request_inputs]
    for order in IDEALS:
        found: dict[str, list[float]] = {}
        for n_tokens, latency in latencies(
            sizes, n_parallel=N_PARALLEL_PASSES, load=LOAD, order=order, slack=Tuning().slack_factor
        ):
            found.setdefault(class_of(n_tokens), []).append(latency)
        for name in ("short", "long"):
            lone = median(n_tokens for n_tokens in sizes if class_of(n_tokens) == name)
            p99, ideal = quantiles(found[name], n=100)[-1], f"{name}, parallel passes without overhead, {order}"
            figures.note(TIMES_LONE, ideal, p99 / lone)
            tokens_per_ms = figures.median("tokens/s")["all, 64 connections"] / N_PARALLEL_PASSES / 1e3
            figures.note("p99 ms", ideal, p99 / tokens_per_ms)
            if order == OUR_ORDER:
                ours_ms = figures.median("p99 ms")[f"{name}, at 70 %"]
                figures.note(TIMES_IDEAL, f"{name}, at 70 %", ours_ms * tokens_per_ms / p99)


def _goals(figures: Figures) -> Iterator[Goal]:
    p99: Mapping[str, float] = figures.median("p99 ms")
    waits, bounds = figures.found["longest wait ms"], figures.found["bound of the wait ms"]
    shares = [
        wait / bound
        for system in waits
        for wait, bound in zip(waits[system], bounds[system], strict=True)
    ]  # fmt: skip
    yield at_most("longest wait as a share of its bound", max(shares), 1.0)
    without = p99["short, without the others"]
    yield at_most(
        "p99 of short rows over theirs without the others", p99["short, at 70 %"] / without, MOST_TIMES_WITHOUT
    )
    times_ideal = figures.median(TIMES_IDEAL)
    for name in ("short", "long"):
        yield at_most(f"p99 of {name} at 70 % over {IDEAL_PASSES}", times_ideal[f"{name}, at 70 %"], MOST_TIMES_IDEAL)


if __name__ == "__main__":
    raise SystemExit(main())
