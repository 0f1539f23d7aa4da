"""Compares our engine with other engines and with the limit of this machine, on the same rows in one run.

    python -m benchmarks.engine [--size base|large] [--task classification|entities|qa] [--mix sib-mix|long|short]

Every engine gets token ids, so no tokenizer is measured. The others run from `.venv-peers` (`make bench-peers`) as
their packages come. The malloc and thread settings of our replicas do nothing for them (D69). An engine whose
environment is missing is skipped, and a line says so. With `--cores` only our engine runs, on one core and on two;
the speed on more cores is simulated from these (benchmarks.load.cores).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.harness.scaling import add_cores, measured, scaling_report
from benchmarks.harness.side_by_side import Measurement, System, compare
from benchmarks.inputs.checkpoints import config_of, make
from benchmarks.inputs.workload import MIXES, rows_of
from benchmarks.reporting.hardware_limit import flop_per_token, limit_name, tokens_per_s
from benchmarks.reporting.report import Goal, Report, Row, at_least, finish, options, progress, row_of

PEERS = ".venv-peers"
OURS = "glossa bfloat16"
OURS_INT8 = "glossa int8"  # int8 products give other answers (D70), so its ratios are goals of their own
OPENVINO = "openvino bf16 sorted 16"
SYSTEMS = (
    System(OURS, "ours", "bfloat16", tuned=True),
    System(OURS_INT8, "ours", "int8", tuned=True),
    System("transformers float32 padded 32", "transformers_padded", "float32-padded-32", every=16),
    System("transformers bfloat16 padded 32", "transformers_padded", "bfloat16-padded-32", every=4),
    System("transformers bfloat16 sorted 32", "transformers_padded", "bfloat16-sorted-32", every=2),
    System("transformers bfloat16 one by one", "transformers_padded", "bfloat16-single", every=4),
    System("onnxruntime float32 sorted 16", "onnxruntime_padded", "float32-sorted-16", environment=PEERS, every=4),
    System("onnxruntime int8 sorted 16", "onnxruntime_padded", "int8-sorted-16", environment=PEERS, every=2),
    System(OPENVINO, "openvino_padded", "bf16-sorted-16", environment=PEERS),
    System(OPENVINO + ", streams", "openvino_padded", "bf16-sorted-16-streams", environment=PEERS),
)
LEFT_OUT = {
    "large": ("float32", ", streams"),  # all together do not fit in 24 GiB
    "long": ("float32", "padded 32"),  # all rows are of one length, so sorting changes nothing
}
TARGETS = {  # at least so many times the speed of this peer on the SIB mix
    OPENVINO: 1.5,
    OPENVINO + ", streams": 1.5,
    "transformers bfloat16 sorted 32": 2.0,
    "transformers bfloat16 padded 32": 10.0,
}
LIMIT_SHARE = 0.65
N_ROUNDS, N_OTHER_ROUNDS, N_QUICK_ROUNDS, N_QUICK_ROWS = 5, 3, 2, 64


def main() -> int:
    """Measure one size, task and mix."""
    parser = options(__doc__)
    parser.add_argument("--size", choices=("base", "large"), default="base")
    parser.add_argument("--task", choices=("classification", "entities", "qa"), default="classification")
    parser.add_argument("--mix", choices=MIXES, default="sib-mix")
    parser.add_argument("--checkpoints", type=Path, default=Path("build/bench"), help="where made checkpoints are kept")
    add_cores(parser)
    chosen = parser.parse_args()
    checkpoint = make(chosen.size, chosen.task, chosen.checkpoints)
    config = config_of(chosen.size)
    rows = rows_of(chosen.mix, config.vocab_size)
    if chosen.cores is not None:
        speeds = measured(checkpoint, rows, chosen.cores, quick=chosen.quick)
        workload = f"{chosen.size}, {chosen.mix}, more cores"
        report = scaling_report(workload, speeds, chosen.cores, flop_per_token(config) / 2)
        return finish([report], as_json=chosen.json)
    rows = rows[:N_QUICK_ROWS] if chosen.quick else rows
    left_out = (*LEFT_OUT.get(chosen.size, ()), *LEFT_OUT.get(chosen.mix, ()))
    wanted = [system for system in SYSTEMS if not any(part in system.name for part in left_out)]
    present = [system for system in wanted if system.is_there]
    for system in set(wanted) - set(present):
        progress(f"  skipped, {system.environment} is missing: {system.name}")
    limits = [tokens_per_s(config)]
    with tempfile.TemporaryDirectory() as work:
        is_main = (chosen.size, chosen.task, chosen.mix) == ("base", "classification", "sib-mix")
        n_rounds = N_QUICK_ROUNDS if chosen.quick else N_ROUNDS if is_main else N_OTHER_ROUNDS
        found = compare(present, checkpoint, rows, task=chosen.task, n_rounds=n_rounds, work=Path(work))
    limits.append(tokens_per_s(config))
    report = _report(f"{chosen.size}, {chosen.task}, {chosen.mix}", chosen.mix, found, limits)
    return finish([report], as_json=chosen.json)


def _report(workload: str, mix: str, found: Mapping[str, Measurement], limits: list[float]) -> Report:
    rows: list[Row] = [row_of(name, "tokens/s", measurement.tokens_per_s) for name, measurement in found.items()]
    rows.append(row_of(limit_name(), "tokens/s", limits))
    rows += [row_of(name, "peak MiB", [measurement.peak_bytes / 2**20]) for name, measurement in found.items()]
    rates = {row.system: row.value for row in rows if row.metric == "tokens/s"}
    goals = [
        *_goals(rates, OURS, mix, ""),
        *(_goals(rates, OURS_INT8, mix, "int8, ") if OURS_INT8 in rates else ()),
    ]
    return Report("engine", workload, tuple(rows), tuple(goals))


def _goals(rates: Mapping[str, float], ours: str, mix: str, prefix: str) -> Iterator[Goal]:
    """Yield the goals of one of our systems against each other system, each with `prefix` before its name."""
    for name, rate in rates.items():
        if name.startswith("limit"):
            if ours == OURS:
                yield at_least("share of the limit", rates[ours] / rate, LIMIT_SHARE)
        elif not name.startswith("glossa"):
            target = TARGETS.get(name, 1.0) if mix == "sib-mix" else 1.0
            yield at_least(f"{prefix}times {name}", rates[ours] / rate, target)


if __name__ == "__main__":
    raise SystemExit(main())
