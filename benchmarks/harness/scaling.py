"""Measures our engine on one and on two cores, and computes what more cores would do (benchmarks.load.cores).

Rows of a report say which cores were measured and which were simulated. Must not know how a system runs.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.harness.side_by_side import System, compare
from benchmarks.load.cores import CORES, fitted, latencies_ms
from benchmarks.reporting.machine import n_cores
from benchmarks.reporting.report import Report, Row, row_of
from serve.scheduling.batch import Tuning

EVERY, N_ROUNDS, N_QUICK_ROUNDS, N_QUICK_ROWS = 2, 3, 1, 32
BYTES_A_WEIGHT = 2  # bfloat16
FITTED = (1, 2)

ClassOf = Callable[[int], str]
Speeds = Mapping[int, Sequence[float]]  # tokens/s of each round by cores


def add_cores(parser: argparse.ArgumentParser) -> None:
    """Add the option `--cores`."""
    parser.add_argument(
        "--cores", type=int, nargs="*", metavar="N",
        help=f"instead: measure the engine on 1 and 2 cores, and simulate it on these ({', '.join(map(str, CORES))})",
    )  # fmt: skip


def measured(
    checkpoint: Path, rows: Sequence[Sequence[int]], cores: Sequence[int], *, quick: bool
) -> dict[int, list[float]]:
    """Return the tokens/s of one pass over the rows in each round, by cores. Those this machine lacks are left out."""
    wanted = sorted({*FITTED, *cores} & set(range(1, n_cores() + 1)))
    names = {f"{number} cores": number for number in wanted}
    systems = [System(name, "ours", "bfloat16", tuned=True, threads=number) for name, number in names.items()]
    chosen = rows[:N_QUICK_ROWS] if quick else rows[::EVERY]
    with tempfile.TemporaryDirectory() as work:
        n_rounds = N_QUICK_ROUNDS if quick else N_ROUNDS
        found = compare(systems, checkpoint, chosen, task="classification", n_rounds=n_rounds, work=Path(work))
    return {names[name]: list(measurement.tokens_per_s) for name, measurement in found.items()}


def scaling_report(
    workload: str,
    speeds: Speeds,
    cores: Sequence[int],
    n_weights: float,
    lengths: Sequence[int] = (),
    class_of: ClassOf | None = None,
) -> Report:
    """Return measured and simulated tokens/s, or, with `class_of`, the latencies of each class of length.

    Raises ValueError when one core or two were not measured.
    """
    if lacking := [number for number in FITTED if number not in speeds]:
        raise ValueError(f"got no speed on {lacking} cores, expected one: use a machine with two cores or more")
    scaling = fitted(median(speeds[1]), median(speeds[2]), n_weights * BYTES_A_WEIGHT)
    rows: list[Row] = []
    for number in sorted({*FITTED, *(cores or CORES)}):
        name = f"{number} core{'s' * (number > 1)}"
        if class_of is not None:
            times = latencies_ms(scaling, lengths, number, class_of, slack=Tuning().slack_factor)
            for kind, (middle, slow) in sorted(times.items()):
                system = f"{kind} rows at 70 %, {name}, simulated"
                rows += [row_of(system, "p50 ms", [middle]), row_of(system, "p99 ms", [slow])]
        elif number in speeds:
            rows.append(row_of(f"{name}, measured", "tokens/s", speeds[number]))
        else:
            rows.append(row_of(f"{name}, simulated", "tokens/s", [scaling.tokens_per_s(number)]))
    one = median(speeds[1])
    rows += [row_of(row.system, "times one core", [row.value / one]) for row in rows if row.metric == "tokens/s"]
    return Report("scaling", workload, tuple(rows), ())
