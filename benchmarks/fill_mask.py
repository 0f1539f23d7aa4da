"""Compares fill-mask with transformers: speed, and the memory of passes.

    python -m benchmarks.fill_mask [--size base|xlm-v] [--mix sib-mix|long|short]

Each text has one mask, and 32 texts make a batch. transformers computes logits of the whole vocabulary at every
position, as its users do. For XLM-V only texts of at most 128 tokens take part.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.harness.side_by_side import Measurement, System, compare
from benchmarks.inputs.checkpoints import config_of, make
from benchmarks.inputs.workload import MIXES, rows_of
from benchmarks.reporting.report import Report, at_least, at_most, finish, options, row_of

OURS = "glossa bfloat16"
THEIRS = "transformers bfloat16 sorted 32"
SYSTEMS = (
    System(OURS, "ours", "bfloat16", tuned=True),
    System("transformers bfloat16 padded 32", "transformers_padded", "bfloat16-padded-32", every=2),
    System(THEIRS, "transformers_padded", "bfloat16-sorted-32"),
)
TIMES = {"base": 5.0, "xlm-v": 15.0}
MEMORY_SHARE = 0.1
MAX_TOKENS = {"base": 512, "xlm-v": 128}  # with 512 tokens the logits of transformers would take 30 GB for XLM-V
N_TEXTS, N_QUICK_TEXTS = 64, 32
N_ROUNDS, N_QUICK_ROUNDS = 5, 1


def main() -> int:
    """Measure one size."""
    parser = options(__doc__)
    parser.add_argument("--size", choices=TIMES, default="base")
    parser.add_argument("--mix", choices=MIXES, default="sib-mix")
    parser.add_argument("--checkpoints", type=Path, default=Path("build/bench"), help="where made checkpoints are kept")
    chosen = parser.parse_args()
    checkpoint = make(chosen.size, "fill-mask", chosen.checkpoints)
    rows = [
        row for row in rows_of(chosen.mix, config_of(chosen.size).vocab_size) if len(row) <= MAX_TOKENS[chosen.size]
    ]
    rows = rows[: N_QUICK_TEXTS if chosen.quick else N_TEXTS]
    with tempfile.TemporaryDirectory() as work:
        n_rounds = N_QUICK_ROUNDS if chosen.quick else N_ROUNDS
        found = compare(SYSTEMS, checkpoint, rows, task="fill-mask", n_rounds=n_rounds, work=Path(work))
    return finish([_report(f"{chosen.size}, {chosen.mix}", chosen.size, found)], as_json=chosen.json)


def _report(workload: str, size: str, found: Mapping[str, Measurement]) -> Report:
    rows = [row_of(name, "tokens/s", measurement.tokens_per_s) for name, measurement in found.items()]
    rates = {row.system: row.value for row in rows}
    rows += [
        row_of(name, "libraries + weights MiB", [measurement.loaded_bytes / 2**20])
        for name, measurement in found.items()
    ]
    rows += [row_of(name, "MiB beside them", [measurement.extra_bytes / 2**20]) for name, measurement in found.items()]
    goals = [
        at_least(f"times {THEIRS}", rates[OURS] / rates[THEIRS], TIMES[size]),
        at_most(f"share of its memory: {THEIRS}", found[OURS].extra_bytes / found[THEIRS].extra_bytes, MEMORY_SHARE),
    ]
    return Report("fill_mask", workload, tuple(rows), tuple(goals))


if __name__ == "__main__":
    raise SystemExit(main())
