"""Prints how far our answers are from the reference's: every class, dtype, quantization, tokenizer and task.

    python -m benchmarks.parity [--data FOLDER] [--only CHECK ...] [--small] [--markdown]

`--data` is a folder of texts beside the committed sample. `--small` leaves out checkpoints of real size. `--markdown`
makes the table one to paste. The exit status is 1 when a row fails. S marks what this machine cannot run; the row says
why.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from benchmarks.parity import batch_mates, classes, full, layouts, memory, quantized, tasks, tokenizers
from benchmarks.parity.table import COLUMNS, MARKDOWN, Line, Tally, head, show
from benchmarks.reporting.machine import describe_machine, load_average


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a run: a folder of texts or none, which checks, and the form of the table."""

    data: Path | None
    checks: Sequence[str]
    columns: str


CHECKS: Mapping[str, Callable[[Options], Iterator[Line]]] = {
    "classes": lambda chosen: classes.lines(),  # noqa: ARG005 - every check is called alike
    "layouts": lambda chosen: layouts.lines(),  # noqa: ARG005 - every check is called alike
    "quantized": lambda chosen: quantized.lines(),  # noqa: ARG005 - every check is called alike
    "tokenizers": lambda chosen: tokenizers.lines(chosen.data),
    "tasks": lambda chosen: tasks.lines(),  # noqa: ARG005 - every check is called alike
    "batch-mates": lambda chosen: batch_mates.lines(chosen.data),
    "full": lambda chosen: full.lines(),  # noqa: ARG005 - every check is called alike
    "memory": lambda chosen: memory.lines(),  # noqa: ARG005 - every check is called alike
}
BIG = ("full", "memory")


def main() -> int:
    """Run the checks, print the table, and return the exit status."""
    chosen = _options()
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call] # transformers has no types for it
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call] # transformers has no types for it
    logging.captureWarnings(capture=True)  # warnings of libraries would come between the lines
    print(f"{describe_machine()}; load {load_average():.1f}")
    print(f"\n{head(chosen.columns)}" if chosen.columns == MARKDOWN else head())
    tally = Tally()
    for name in chosen.checks:
        started_s = time.perf_counter()
        torch.set_num_threads(2 if name in BIG else 1)
        show(CHECKS[name](chosen), tally, lambda text: print(text, flush=True), chosen.columns)
        print(f"{name}: {time.perf_counter() - started_s:.0f} s", file=sys.stderr, flush=True)
    print(
        "distance: float32 max|delta|; half precision and quantized |delta|/|reference|. The reference is in float32,\n"
        "on the same rounded weights; for quantized models on the weights before. Other rows say what they measure."
    )
    print(tally)
    return 1 if tally.n_failed else 0


def _options() -> Options:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=None)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--markdown", action="store_true")
    given = parser.parse_args()
    checks = given.only or [name for name in CHECKS if not (given.small and name in BIG)]
    return Options(given.data, checks, MARKDOWN if given.markdown else COLUMNS)


if __name__ == "__main__":
    sys.exit(main())
