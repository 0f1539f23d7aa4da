"""Compares servers over HTTP under load: ours, our engine without a server, and other servers.

    python -m benchmarks.serving [--size base|mini] [--precision bfloat16|int8] [--only NAME ...] [--rounds N]
        [--seconds S]

Requests of one text come on 1, 64 and 256 connections, requests of 32 texts on 1 and 8. Ours runs as users start it,
behind HAProxy, and gets ids in the packed binary form. The other servers run as their packages come. LitServe and Ray
get the same ids as JSON, so no tokenizer runs in them. infinity gets the texts and runs their tokenizer, which makes
as many tokens.

One server runs at a time, so that none takes cores from another. tokens/s counts the tokens of requests that were
answered with status 200. Far slower servers run in the first round only, with single texts on 1 and 64 connections.
infinity runs in every round, because one goal is about it.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.harness.servers import RequestInput, Server, check_answer, request_of, running_server
from benchmarks.harness.side_by_side import System, compare
from benchmarks.inputs.catalogs import MODEL
from benchmarks.inputs.checkpoints import add_tokenizer, config_of, make
from benchmarks.inputs.workload import rows_of, texts_of
from benchmarks.load.generator import HOST, LoadResult, send_load
from benchmarks.load.wrk import MISSING, find_wrk
from benchmarks.reporting.figures import Figures
from benchmarks.reporting.hardware_limit import limit_name, tokens_per_s
from benchmarks.reporting.report import (
    CANNOT_RUN,
    Goal,
    Report,
    at_least,
    at_most,
    finish,
    options,
    progress,
)

PEERS, INFINITY = ".venv-peers", ".venv-infinity"
PRECISIONS = ("bfloat16", "int8")  # of ours; the peers stay as they are
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
SLOW_MS, SLOW_TIMES = (
    1000.0,
    3.0,
)  # when answers take so long, loads last longer: an answer that is cut off does not count
ENGINE_PASSES = 3
N_TRIES = 2  # for ours, which every goal needs; Ray gives up on a machine that starts it slowly


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of a load: texts in each request, and connections."""

    n_texts: int
    connections: int

    @property
    def name(self) -> str:
        """The name of the shape in metrics."""
        return f"{self.n_texts} x {self.connections}"


SHAPES = (*(Shape(1, n) for n in SINGLES), *(Shape(TEXTS_A_REQUEST, n) for n in OF_32))
LONE, BUSY = Shape(1, 1), Shape(1, 64)


def main() -> int:
    """Measure one size."""
    parser = options(__doc__)
    parser.add_argument("--size", choices=SHARE_OF_ENGINE, default="base")
    parser.add_argument("--precision", choices=PRECISIONS, default=PRECISIONS[0])
    parser.add_argument("--mix", choices=("sib-mix", "short"), default="sib-mix")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="only peers with one of these in their name; ours always runs"
    )
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
            systems = [server for server in _systems(chosen.precision) if number == 0 or _runs_again(server)]
            _round(systems, chosen, checkpoint, (rows, texts), Path(work), figures)
    prefix = "" if chosen.precision == PRECISIONS[0] else f"ours in {chosen.precision}, "
    workload = f"{prefix}{chosen.size}, {chosen.mix}"
    report = Report("serving", workload, tuple(figures.rows()), tuple(_goals(figures, chosen.size, prefix)))
    return finish([report], as_json=chosen.json)


def group_requests(rows: Sequence[Sequence[int]], texts: Sequence[str], n_texts: int) -> list[RequestInput]:
    """Return inputs of `n_texts` texts each, in an order that is random but always the same."""
    order = list(range(len(rows)))
    random.Random(7).shuffle(order)
    groups = [order[first : first + n_texts] for first in range(0, len(order), n_texts)]
    return [RequestInput(tuple(tuple(rows[i]) for i in group), tuple(texts[i] for i in group)) for group in groups]


def tokens_answered(request_inputs: Sequence[RequestInput], n_good: int) -> int:
    """Return the tokens of the first `n_good` requests. They were sent one after the other, again and again."""
    sizes = [request_input.n_tokens for request_input in request_inputs]
    n_times, n_left = divmod(n_good, len(sizes))
    return n_times * sum(sizes) + sum(sizes[:n_left])


def forward_s(port: int) -> tuple[float, int]:
    """Return how many seconds our server has spent in forward passes so far, and how many calls it has answered."""
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
        if not _is_wanted(server, chosen):
            continue
        if not server.is_there:
            progress(f"  skipped, {server.environment} is missing (make bench-peers): {server.name}")
            continue
        for _ in range(N_TRIES if server.name == OURS else 1):
            try:
                with running_server(server, checkpoint) as port:
                    _measure(server, port, workload, work, figures, chosen)
            except RuntimeError as failure:
                progress(f"  skipped: {failure}")
            else:
                break


def _systems(precision: str) -> list[Server]:
    """Return all servers, ours in the given precision."""
    return [replace(server, variant=precision) if server.name == OURS else server for server in SYSTEMS]


def _runs_again(server: Server) -> bool:
    """Return whether a server also runs after the first round."""
    return not server.slow or server.name == INFINITY_NAME


def _is_wanted(server: Server, chosen: argparse.Namespace) -> bool:
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
    """Send every shape of load to a running server."""
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
            mean_ms = (
                loaded.seconds / max(1, loaded.n_good) * 1e3
            )  # wrk's own mean also counts requests that it did not send
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


def _goals(figures: Figures, size: str, prefix: str) -> Iterator[Goal]:
    """Yield the goals, each with `prefix` before its name. Goals about a server that did not run are left out."""
    busy = figures.median(f"{BUSY.name}: tokens/s")
    if OURS not in busy:
        raise RuntimeError("our own server did not run, so no goal can be judged")
    alone = figures.median("tokens/s")[ENGINE]
    yield at_least(f"{prefix}share of the engine alone, 64 connections", busy[OURS] / alone, SHARE_OF_ENGINE[size])
    peers = {name: rate for name, rate in busy.items() if name not in {OURS, INFINITY_NAME} and rate}
    if peers:
        best = max(peers, key=lambda name: peers[name])
        yield at_least(f"{prefix}times the best served peer ({best})", busy[OURS] / peers[best], TIMES_BEST_PEER)
    if busy.get(INFINITY_NAME):
        yield at_least(f"{prefix}times infinity", busy[OURS] / busy[INFINITY_NAME], TIMES_INFINITY)
    lone: Mapping[str, float] = figures.median("ms a lone request costs over its pass")
    yield at_most(f"{prefix}ms a lone request costs over its pass", lone[OURS], LONE_MS)


if __name__ == "__main__":
    raise SystemExit(main())
