"""Measures a whole request from text to labels: infer functions before Ray Serve and HAProxy, against the engine alone.

    python -m benchmarks.end_to_end [--size base|mini] [--rounds N] [--seconds S]

The engine alone computes the same tokens. Each instance of the function is a process that handles one API Gateway event
at a time, as the Lambda runtime does. There are three loads: 1 instance with one text an event (a lone call), 16 with
one text, and 4 with 32 texts. All share the cores of this machine, so tokenizing, HTTP and JSON take time from the
engine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.harness.servers import Server, running_server
from benchmarks.harness.side_by_side import SYSTEMS, System, SystemFailed, compare
from benchmarks.inputs.catalogs import write_catalog
from benchmarks.inputs.checkpoints import add_tokenizer, config_of, make
from benchmarks.inputs.workload import rows_of, texts_of
from benchmarks.load.generator import HOST
from benchmarks.reporting.figures import Figures
from benchmarks.reporting.report import Report, at_most, finish, options, progress
from benchmarks.serving import group_requests
from glossa.commands.artifacts import write_artifacts
from shared.catalog import load_catalog

OURS = Server("glossa, Ray Serve, HAProxy", "ours", "bfloat16")
ENGINE = "glossa engine alone"
MIX = "sib-mix"
SHAPES = ((1, 1), (1, 16), (32, 4))  # texts an event, instances of the function
LONE = "1 text, 1 instance"
OWN_MS = 3.0
N_ROUNDS, SECONDS, QUICK_S, WARM_UP_S = 3, 10.0, 2.0, 2.0
Instance = subprocess.Popen[str]


def main() -> int:
    """Measure one size."""
    parser = options(__doc__)
    parser.add_argument("--size", choices=("base", "mini"), default="base")
    parser.add_argument("--rounds", type=int, help=f"rounds of engine and every shape ({N_ROUNDS})")
    parser.add_argument("--seconds", type=float, help=f"how long each shape lasts ({SECONDS:g})")
    parser.add_argument("--checkpoints", type=Path, default=Path("build/bench"), help="where made checkpoints are kept")
    chosen = parser.parse_args()
    checkpoint = add_tokenizer(make(chosen.size, "classification", chosen.checkpoints))
    figures = Figures()
    with tempfile.TemporaryDirectory() as work:
        _measure(chosen, checkpoint, Path(work), figures)
    goals = [at_most("ms of the function itself, lone warm call", figures.median("own p50 ms")[LONE], OWN_MS)]
    rows = tuple(figures.rows())
    return finish([Report("end_to_end", f"{chosen.size}, {MIX}", rows, tuple(goals))], as_json=chosen.json)


def _measure(chosen: argparse.Namespace, checkpoint: Path, work: Path, figures: Figures) -> None:
    rows = rows_of(MIX, config_of(chosen.size).vocab_size)
    events = {n_texts: _write_events(rows, n_texts, work) for n_texts, _ in SHAPES}
    seconds = chosen.seconds or (QUICK_S if chosen.quick else SECONDS)
    sample = rows[: 64 if chosen.quick else None]
    for number in range(chosen.rounds or (1 if chosen.quick else N_ROUNDS)):
        progress(f"round {number + 1}")
        system = System(ENGINE, "ours", "bfloat16", tuned=True)
        alone = compare([system], checkpoint, sample, task="classification", n_rounds=2, work=work)
        for rate in alone[ENGINE].tokens_per_s:
            figures.note("tokens/s", ENGINE, rate)
        with running_server(OURS, checkpoint) as port, ExitStack() as stack:
            settings = _settings(checkpoint, port, work)
            most = max(n_instances for _, n_instances in SHAPES)
            instances = [stack.enter_context(_instance(settings, work / f"{n}.log")) for n in range(most)]
            _ask(instances, events[1], WARM_UP_S)
            for n_texts, n_instances in SHAPES:
                found = _ask(instances[:n_instances], events[n_texts], seconds)
                _note(figures, f"{_texts(n_texts)}, {n_instances} instance{'s' * (n_instances > 1)}", found)


def _texts(n_texts: int) -> str:
    return f"{n_texts} text{'s' * (n_texts > 1)}"


def _write_events(rows: Sequence[Sequence[int]], n_texts: int, work: Path) -> Path:
    path = work / f"events-{n_texts}.json"
    request_inputs = group_requests(rows, texts_of(MIX), n_texts)
    bodies = [
        {"inputs": list(request_input.texts), "parameters": {"truncation": True}} for request_input in request_inputs
    ]
    path.write_text(json.dumps(bodies), encoding="utf-8")
    return path


def _settings(checkpoint: Path, port: int, work: Path) -> Mapping[str, str]:
    catalog = write_catalog(work / "catalog.toml", checkpoint, precision=OURS.variant)
    artifacts = work / "artifacts"
    write_artifacts(load_catalog(catalog), work, artifacts)
    return {
        "GLOSSA_REPLICA_URL": f"http://{HOST}:{port}",
        "GLOSSA_CATALOG": str(catalog),
        "GLOSSA_ARTIFACTS": str(artifacts),
        "PYTHONPATH": str(ROOT),
    }


@contextmanager
def _instance(settings: Mapping[str, str], log: Path) -> Iterator[Instance]:
    """Start one instance of the function. Yield it when it is ready."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [sys.executable, SYSTEMS / "infer_function.py"], env={**kept, **settings}, cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
        )  # fmt: skip
        try:
            if not _line(process):
                said = log.read_text(encoding="utf-8").strip().splitlines()[-1:]
                raise SystemFailed(f"the infer function ended: {' '.join(said)}")
            yield process
        finally:
            process.kill()
            process.wait(timeout=10)


def _ask(instances: Sequence[Instance], events: Path, seconds: float) -> list[dict[str, Any]]:
    """Let all instances work at the same time, each from another event on. Return what each did."""
    for number, process in enumerate(instances):
        if process.stdin is None:
            raise RuntimeError("got a process without standard input. This is a bug.")
        order = {"events": str(events), "first": number * 37, "seconds": seconds}
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
    return [json.loads(_line(process)) for process in instances]


def _line(process: Instance) -> str:
    if process.stdout is None:
        raise RuntimeError("got a process without standard output. This is a bug.")
    return process.stdout.readline()


def _note(figures: Figures, system: str, found: Sequence[Mapping[str, Any]]) -> None:
    """Note the figures of all instances together."""
    took_ms = sorted(ms for one in found for ms in one["took_ms"])
    if not took_ms:
        raise SystemFailed(f"{system}: no event was answered")
    progress(f"  {system}: {len(took_ms)} answered")
    figures.note("tokens/s", system, sum(one["n_tokens"] / one["seconds"] for one in found))
    figures.note("requests/s", system, sum(len(one["took_ms"]) / one["seconds"] for one in found))
    figures.note("p50 ms", system, statistics.median(took_ms))
    figures.note("p99 ms", system, took_ms[len(took_ms) * 99 // 100])
    figures.note("own p50 ms", system, statistics.median(ms for one in found for ms in one["own_ms"]))
    if n_failed := sum(one["n_failed"] for one in found):
        figures.note("refused", system, n_failed)


if __name__ == "__main__":
    raise SystemExit(main())
