"""Served over HTTP, against the engine alone and against served peers, under load from a compiled client.

    python -m benchmarks.serving [--size base|mini] [--precision bfloat16|int8] [--only NAME ...] [--rounds N]
        [--seconds S]

Requests of one text with 1, 64 and 256 connections, requests of 32 texts with 1 and 8 (as many texts at a time as 32
and 256 connections of one). Ours stands as users start it, behind HAProxy, and is sent ids in the packed binary form;
peers run as their packages come: LitServe and Ray are sent the same ids as JSON (no tokenizer runs in them), infinity
is sent the texts and runs mini's tokenizer, which makes as many tokens. Systems stand one at a time, in turn A B A B,
so that none takes cores from another; tokens/s counts the tokens of the requests that were answered with 200.
Systems that are far slower stand once, and under single texts by 1 and 64 connections only; infinity, of which a
promise speaks, stands in every round.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.harness.servers import RequestInput, Server, check_answer, request_of, running_server
from benchmarks.harness.side_by_side import System, compare
from benchmarks.inputs.catalogs import MODEL
from benchmarks.inputs.checkpoints import add_tokenizer, config_of, make
from benchmarks.inputs.workload import rows_of, texts_of
from benchmarks.load.generator import HOST, LoadResult, send_load
from benchmarks.load.wrk import MISSING, find_wrk
from benchmarks.reporting.hardware_limit import limit_name, tokens_per_s
from benchmarks.reporting.report import (
    CANNOT_RUN,
    Goal,
    Report,
    Row,
    at_least,
    at_most,
    finish,
    options,
    progress,
    row_of,
)

PEERS, INFINITY = ".venv-peers", ".venv-infinity"
PRECISIONS = ("bfloat16", "int8")  # of ours; peers stay as they are
OURS = "glossa, Ray Serve, HAProxy"
ENGINE = "glossa engine alone"
INFINITY_NAME = "infinity bf16 (texts)"
SYSTEMS = (
    Server(OURS, "ours", "bfloat16"),
    Server("LitServe, OpenVINO bf16, 64 sorted 16", "litserve", "openvino-16-64", PEERS),
    Server("LitServe, OpenVINO bf16, one by one", "litserve", "openvino-1-1", PEERS),
    Server("LitServe, transformers bf16, 32", "litserve", "transformers-32-32", PEERS, slow=True),
    Server("Ray @serve.batch, OpenVINO bf16, 64 sorted 16", "ray", "openvino-16-64", PEERS),
    Server("Ray @serve.batch, transformers bf16, 32", "ray", "transformers-32-32", PEERS, slow=True),
    Server(INFINITY_NAME, "infinity", "bfloat16", INFINITY, sent="texts", slow=True),
)
SINGLES, OF_32 = (1, 64, 256), (1, 8)
TEXTS_A_REQUEST = 32
SHARE_OF_ENGINE = {"base": 0.9, "mini": 0.4}
TIMES_BEST_PEER, TIMES_INFINITY, LONE_MS = 1.5, 6.0, 3.0
N_ROUNDS, SECONDS, WARM_UP_S, QUICK_S = 2, 6.0, 2.0, 1.0
QUICK_SYSTEMS = (OURS, "LitServe, OpenVINO bf16, 64 sorted 16")
SLOW_MS, SLOW_TIMES = 1000.0, 3.0  # answers that take so long: loads last longer, as one cut off counts as none
ENGINE_PASSES = 3
N_TRIES = 2  # of ours, without which nothing can be held; Ray gives up where a machine is slow to start it


@dataclass(frozen=True, slots=True)
class Shape:
    """How load comes: texts a request, connections."""

    n_texts: int
    connections: int

    @property
    def name(self) -> str:
        """What the shape is called in a row."""
        return f"{self.n_texts} x {self.connections}"


SHAPES = (*(Shape(1, n) for n in SINGLES), *(Shape(TEXTS_A_REQUEST, n) for n in OF_32))
LONE, BUSY = Shape(1, 1), Shape(1, 64)


@dataclass(slots=True)
class Figures:
    """What all rounds came to: metric -> system -> figures."""

    found: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def note(self, metric: str, system: str, value: float) -> None:
        """Keep one figure."""
        self.found[metric][system].append(value)

    def median(self, metric: str) -> dict[str, float]:
        """Return the median of each system that has the metric."""
        return {system: row_of(system, metric, values).value for system, values in self.found.get(metric, {}).items()}

    def rows(self) -> Iterator[Row]:
        """Yield a row of each metric and system."""
        for metric, systems in self.found.items():
            yield from (row_of(system, metric, values) for system, values in systems.items())


def main() -> int:
    """Measure one size."""
    parser = options(__doc__)
    parser.add_argument("--size", choices=SHARE_OF_ENGINE, default="base")
    parser.add_argument("--precision", choices=PRECISIONS, default=PRECISIONS[0])
    parser.add_argument("--mix", choices=("sib-mix", "short"), default="sib-mix")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="peers whose name holds one of these; ours always")
    parser.add_argument("--rounds", type=int, help=f"how often each system is started and measured ({N_ROUNDS})")
    parser.add_argument("--seconds", type=float, help=f"how long each load lasts ({SECONDS:g})")
    parser.add_argument("--checkpoints", type=Path, default=Path("build/bench"), help="where made checkpoints are kept")
    chosen = parser.parse_args()
    if find_wrk() is None:
        progress(MISSING)
        return CANNOT_RUN
    checkpoint = add_tokenizer(make(chosen.size, "classification", chosen.checkpoints))
    rows, texts = rows_of(chosen.mix, config_of(chosen.size).vocab_size), texts_of(chosen.mix)
    figures = Figures()
    with tempfile.TemporaryDirectory() as work:
        for number in range(chosen.rounds or (1 if chosen.quick else N_ROUNDS)):
            progress(f"round {number + 1}")
            systems = [server for server in _systems(chosen.precision) if number == 0 or _stands_again(server)]
            _round(systems, chosen, checkpoint, (rows, texts), Path(work), figures)
    said = "" if chosen.precision == PRECISIONS[0] else f"ours in {chosen.precision}, "
    workload = f"{said}{chosen.size}, {chosen.mix}"
    report = Report("serving", workload, tuple(figures.rows()), tuple(_goals(figures, chosen.size, said)))
    return finish([report], as_json=chosen.json)


def group_requests(rows: Sequence[Sequence[int]], texts: Sequence[str], n_texts: int) -> list[RequestInput]:
    """Return requests of `n_texts` texts each, in one fixed order without pattern."""
    order = list(range(len(rows)))
    random.Random(7).shuffle(order)
    groups = [order[first : first + n_texts] for first in range(0, len(order), n_texts)]
    return [RequestInput(tuple(tuple(rows[i]) for i in group), tuple(texts[i] for i in group)) for group in groups]


def tokens_answered(request_inputs: Sequence[RequestInput], n_good: int) -> int:
    """Return the tokens of the first `n_good` requests, which were sent in turn, over and over."""
    sizes = [request_input.n_tokens for request_input in request_inputs]
    n_times, n_left = divmod(n_good, len(sizes))
    return n_times * sum(sizes) + sum(sizes[:n_left])


def forward_s(port: int) -> tuple[float, int]:
    """Return our server's seconds in forward passes so far, and how many calls it answered."""
    with urllib.request.urlopen(f"http://{HOST}:{port}/v2/models/{MODEL}/stats", timeout=30.0) as answer:
        facts = json.loads(answer.read())["model_stats"][0]["glossa"]
    return float(facts["forward_s"]), int(facts["n_answered"])


def _round(
    systems: Sequence[Server],
    chosen: argparse.Namespace,
    checkpoint: Path,
    workload: tuple[list[list[int]], list[str]],
    work: Path,
    figures: Figures,
) -> None:
    """Measure the limit, the engine alone, and each system, one after the other."""
    config = config_of(chosen.size)
    figures.note("tokens/s", limit_name(), tokens_per_s(config))
    rows = workload[0][: 64 if chosen.quick else None]
    engine = System(ENGINE, "ours", chosen.precision, tuned=True)
    alone = compare([engine], checkpoint, rows, task="classification", n_rounds=ENGINE_PASSES, work=work)
    for rate in alone[ENGINE].tokens_per_s:
        figures.note("tokens/s", ENGINE, rate)
    for server in systems:
        if not _is_asked(server, chosen):
            continue
        if not server.is_there:
            progress(f"  left out, no {server.environment} (make bench-peers): {server.name}")
            continue
        for _ in range(N_TRIES if server.name == OURS else 1):
            try:
                with running_server(server, checkpoint) as port:
                    _measure(server, port, workload, work, figures, chosen)
            except RuntimeError as failure:
                progress(f"  left out: {failure}")
            else:
                break


def _systems(precision: str) -> list[Server]:
    """Return what may stand, ours in a precision."""
    return [replace(server, variant=precision) if server.name == OURS else server for server in SYSTEMS]


def _stands_again(server: Server) -> bool:
    """Whether a system stands in rounds behind the first, too."""
    return not server.slow or server.name == INFINITY_NAME


def _is_asked(server: Server, chosen: argparse.Namespace) -> bool:
    if server.name == OURS:
        return True
    if chosen.only is not None:
        return any(part.lower() in server.name.lower() for part in chosen.only)
    return not chosen.quick or server.name in QUICK_SYSTEMS


def _measure(
    server: Server,
    port: int,
    workload: tuple[list[list[int]], list[str]],
    work: Path,
    figures: Figures,
    chosen: argparse.Namespace,
) -> None:
    """Put every shape of load on a system that stands."""
    seconds = chosen.seconds or (QUICK_S if chosen.quick else SECONDS)
    for shape in (LONE, BUSY) if server.slow else SHAPES:
        request_inputs = group_requests(*workload, shape.n_texts)
        requests = [request_of(server, request_input, port) for request_input in request_inputs]
        warm = send_load(requests, port, work, connections=shape.connections, seconds=min(seconds, WARM_UP_S))
        check_answer(server, port)
        before = forward_s(port) if server.kind == "ours" and shape == LONE else None
        is_slow = not chosen.quick and (warm.n_good == 0 or warm.p50_ms > SLOW_MS)
        lasting_s = seconds * SLOW_TIMES if is_slow else seconds
        lead_s = 0.0 if shape.connections == 1 else min(seconds, WARM_UP_S)
        loaded = send_load(requests, port, work, connections=shape.connections, seconds=lasting_s, lead_s=lead_s)
        if before is not None:
            after = forward_s(port)
            passes_ms = (after[0] - before[0]) / max(1, after[1] - before[1]) * 1e3
            mean_ms = loaded.seconds / max(1, loaded.n_good) * 1e3  # wrk's own mean adds requests that it did not send
            figures.note("ms a lone request costs over its pass", server.name, mean_ms - passes_ms)
        _note(server.name, shape, loaded, tokens_answered(request_inputs, loaded.n_good), figures)
        check_answer(server, port)


def _note(name: str, shape: Shape, loaded: LoadResult, n_tokens: int, figures: Figures) -> None:
    figures.note(f"{shape.name}: tokens/s", name, n_tokens / loaded.seconds)
    figures.note(f"{shape.name}: requests/s", name, loaded.n_good / loaded.seconds)
    figures.note(f"{shape.name}: p50 ms", name, loaded.p50_ms)
    figures.note(f"{shape.name}: p99 ms", name, loaded.p99_ms)
    if loaded.n_refused or loaded.n_broken:
        figures.note(f"{shape.name}: refused", name, loaded.n_refused)
        figures.note(f"{shape.name}: broken", name, loaded.n_broken)
    progress(f"  {name}: {shape.name}: {loaded.n_good} answered in {loaded.seconds:.1f} s")


def _goals(figures: Figures, size: str, said: str) -> Iterator[Goal]:
    """Yield the promises, `said` before each; those about a system that did not stand are left out."""
    busy = figures.median(f"{BUSY.name}: tokens/s")
    if OURS not in busy:
        raise RuntimeError("our own server did not stand; nothing can be held")
    alone = figures.median("tokens/s")[ENGINE]
    yield at_least(f"{said}share of the engine alone, 64 connections", busy[OURS] / alone, SHARE_OF_ENGINE[size])
    peers = {name: rate for name, rate in busy.items() if name not in {OURS, INFINITY_NAME} and rate}
    if peers:
        best = max(peers, key=lambda name: peers[name])
        yield at_least(f"{said}times the best served peer ({best})", busy[OURS] / peers[best], TIMES_BEST_PEER)
    if busy.get(INFINITY_NAME):
        yield at_least(f"{said}times infinity", busy[OURS] / busy[INFINITY_NAME], TIMES_INFINITY)
    lone: Mapping[str, float] = figures.median("ms a lone request costs over its pass")
    yield at_most(f"{said}ms a lone request costs over its pass", lone[OURS], LONE_MS)


if __name__ == "__main__":
    raise SystemExit(main())
