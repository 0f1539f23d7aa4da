"""Runs every benchmark at its default size, then makes tables and plots: `python -m benchmarks [NAME ...] [--quick]`.

The report of each run is kept in `benchmarks/results/NAME.json`, or in a folder there named by `--machine`. The tables
of `RESULTS.md` and `notes/tables.md` and the plots are made from these files. A missed goal does not stop the other
benchmarks, but the exit status is then 1. `--quick` only shows that everything runs: its figures go to
`build/bench/quick` and into no table. Must not know what a benchmark measures.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks import ROOT
from benchmarks.reporting import tables
from benchmarks.reporting.machine import load_average
from benchmarks.reporting.report import progress

PLOTTER = ROOT / ".venv-peers" / "bin" / "python"
QUICK = ROOT / "build" / "bench" / "quick"
RUN_LIMIT_S = 3600.0
MISSED_GOAL = 1


class Run(NamedTuple):
    """One run of a benchmark, and the name of its results."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    needs_gpu: bool = False


RUNS = (
    Run("engine-base", "engine"),
    Run("engine-base-long", "engine", ("--mix", "long")),
    Run("engine-base-short", "engine", ("--mix", "short")),
    Run("engine-base-entities", "engine", ("--task", "entities")),
    Run("engine-base-qa", "engine", ("--task", "qa")),
    Run("engine-large", "engine", ("--size", "large")),
    Run("fill-mask-base", "fill_mask"),
    Run("fill-mask-xlm-v", "fill_mask", ("--size", "xlm-v")),
    Run("serving-base", "serving"),
    Run(
        "serving-base-int8",
        "serving",
        (
            "--precision",
            "int8",
            "--only",
            "LitServe, OpenVINO bf16, one by one",
            "Ray @serve.batch, OpenVINO",
            "infinity",
        ),
    ),
    Run("serving-mini", "serving", ("--size", "mini")),
    Run("scheduler-base", "scheduler"),
    Run("cores-base", "engine", ("--cores",)),
    Run("cores-latency-base", "scheduler", ("--cores",)),
    Run("end-to-end-base", "end_to_end"),
    Run("tokenize", "tokenize"),
    Run("pipeline", "pipeline"),
    Run("cold-start", "cold_start"),
    Run("batch", "batch"),
    Run("batch-memory", "batch_memory"),
    Run("gpu", "gpu", needs_gpu=True),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named benchmarks, by default all. Return 1 when a goal is missed or a benchmark fails."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(run.name for run in RUNS)}")
    parser.add_argument("--quick", action="store_true", help="only show that everything runs")
    parser.add_argument(
        "--machine",
        default="",
        help="keep the results in benchmarks/results/MACHINE, for another machine than the first",
    )
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.names) - {run.name for run in RUNS}:
        parser.error(f"got {', '.join(sorted(unknown))}, expected some of {', '.join(run.name for run in RUNS)}")
    folder = QUICK if chosen.quick else tables.FOLDER / chosen.machine
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [run for run in RUNS if not chosen.names or run.name in chosen.names]
    statuses = [_run(run, folder, quick=chosen.quick) for run in wanted]
    if not chosen.quick:
        tables.main()
    _plot(QUICK if chosen.quick else tables.FOLDER)
    return int(any(statuses))


def _run(run: Run, folder: Path, *, quick: bool) -> int:
    """Run one benchmark and keep its report. Return its exit status."""
    if find_spec(f"benchmarks.{run.module}") is None:
        progress(f"{run.name}: skipped, there is no benchmark {run.module}")
        return 0
    if run.needs_gpu and not torch.cuda.is_available():
        progress(f"{run.name}: skipped, this machine has no GPU")
        return 0
    progress(f"{run.name}: starts, load average {load_average():.2f}")
    words = ["-m", f"benchmarks.{run.module}", *run.arguments, *(["--quick"] if quick else [])]
    try:
        done = subprocess.run(
            [sys.executable, *words, "--json"],
            cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False, timeout=RUN_LIMIT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        progress(f"{run.name}: FAILED, still running after {RUN_LIMIT_S:.0f} s")
        return 1
    reports = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode not in {0, MISSED_GOAL} or not reports:
        progress(f"{run.name}: FAILED with status {done.returncode}")
        return 1
    if not all("goals" in report for report in reports):
        progress(f"{run.name}: FAILED, it printed something that is no report")
        return 1
    kept = {
        "command": " ".join(["python", *words]),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "load_average": round(load_average(), 2),
        "reports": reports,
    }
    (folder / f"{run.name}.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    progress(f"{run.name}: {'all goals are met' if done.returncode == 0 else 'a goal is MISSED'}")
    return done.returncode


def _plot(folder: Path) -> None:
    """Draw every kept result with matplotlib, which is in the environment of the peers."""
    if not PLOTTER.exists():
        progress("no plots: matplotlib is missing, run `make bench-peers`")
        return
    paths = [str(path) for path in sorted(folder.rglob("*.json"))]
    if paths:
        subprocess.run([PLOTTER, "-m", "benchmarks.reporting.plot", *paths], cwd=ROOT, check=True, timeout=300.0)


if __name__ == "__main__":
    raise SystemExit(main())
