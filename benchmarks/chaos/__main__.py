"""Breaks a local stack of its own in each scenario, and writes a report: `make chaos`.

    python -m benchmarks.chaos [--only NAME ...] [--seconds S] [--soak MINUTES] [--keep] [--out FOLDER]

The stack lies in `build/chaos/home`, with own ports. The report is `build/chaos/report.md`, with a timeline of each
scenario. Exit status 1: a hold was broken. Must not know how anything is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import ROOT
from benchmarks.chaos import report
from benchmarks.chaos.answers import corpus
from benchmarks.chaos.batch_job import BatchJob
from benchmarks.chaos.figures import figures
from benchmarks.chaos.holds import judge
from benchmarks.chaos.run_scenario import run
from benchmarks.chaos.scenarios import MAKERS, Scenario, scenario
from benchmarks.chaos.stack import LocalStack
from benchmarks.reporting.machine import describe_machine
from benchmarks.reporting.report import progress
from glossa.client import ApiError
from local.workspace import Workspace

FOLDER = ROOT / "build" / "chaos"
PLOTTER = ROOT / ".venv-peers" / "bin" / "python"
CANNOT_RUN = 2
PLOT_S = 300.0
SECONDS = 60.0  # of a minute


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scenarios that were named, by default all. Return 1 when a hold was broken, 2 when one cannot be run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=list(MAKERS), help=f"of {', '.join(MAKERS)}")
    parser.add_argument("--seconds", type=float, help="how long it is broken, in place of each scenario's own time")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="run only the soak, for so long")
    parser.add_argument("--keep", action="store_true", help="let the stack run at the end, for the next time")
    parser.add_argument("--out", type=Path, default=FOLDER, help="the folder of the report")
    asked = parser.parse_args(arguments)
    if any(given is not None and given <= 0 for given in (asked.seconds, asked.soak)):
        parser.error("got a time that is not above 0, expected seconds or minutes")
    chosen = [scenario(name, asked.seconds) for name in asked.only or MAKERS]
    if asked.soak:
        chosen = [scenario("soak", asked.soak * SECONDS)]
    asked.out.mkdir(parents=True, exist_ok=True)
    stack = LocalStack(Workspace(ROOT, FOLDER / "home"))
    try:
        stack.up()
        outcomes = list(_outcomes(stack, chosen, asked.out))
    except (RuntimeError, OSError) as error:
        progress(str(error))
        return CANNOT_RUN
    finally:
        if not asked.keep:
            stack.down()
    if outcomes:
        print((asked.out / "report.md").read_text(encoding="utf-8"))
    if len(outcomes) < len(chosen):
        return CANNOT_RUN
    return int(not all(each.kept for each in outcomes))


def _outcomes(stack: LocalStack, chosen: Sequence[Scenario], folder: Path) -> Iterator[report.Outcome]:
    """Run one scenario after the other, and write the report after each. What cannot be run is said and skipped."""
    done: list[report.Outcome] = []
    for each in chosen:
        try:
            done.append(_outcome(stack, each, folder))
        except (RuntimeError, OSError, ApiError) as error:
            progress(f"  {each.name} cannot be run: {error}")
            continue
        date = dt.datetime.now(dt.UTC).date().isoformat()
        _plot(report.write(done, folder, describe_machine(), date)[-1])
        yield done[-1]


def _outcome(stack: LocalStack, chosen: Scenario, folder: Path) -> report.Outcome:
    texts = corpus(chosen.texts, folder)
    job = BatchJob(stack.url, corpus("short", folder), folder, stack.dead_letters)
    seen = asyncio.run(run(stack, chosen, texts, job, say=progress))
    found = figures(seen)
    outcome = report.Outcome(chosen, seen, found, tuple(judge(chosen.holds, found)))
    for verdict in outcome.verdicts:
        if not verdict.kept:
            progress(f"  BROKEN: {verdict.hold}, got {report.shown(verdict.hold.figure, verdict.value)}")
    return outcome


def _plot(path: Path) -> None:
    """Draw a timeline with matplotlib, which is in the environment of the peers."""
    if not PLOTTER.exists():
        progress("no timelines: matplotlib is missing, run `make bench-peers`")
        return
    subprocess.run([PLOTTER, "-m", "benchmarks.chaos.timeline", path], cwd=ROOT, check=True, timeout=PLOT_S)


if __name__ == "__main__":
    sys.exit(main())
