"""Prints how far Glossa is from the reference: every class, dtype and quantisation, tokenizer and task.

    python -m benchmarks.parity [--data FOLDER] [--only ROOM ...] [--small]

`--data` is a folder of texts beside the committed sample; `--small` leaves out checkpoints of real size.
Exit status 1 when a row fails; S is what this machine cannot run, with the reason.
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

from benchmarks.parity import batch_mates, classes, full, memory, quantized, tasks, tokenizers
from benchmarks.parity.table import Line, Tally, head, show
from benchmarks.reporting.machine import describe_machine, load_average


@dataclass(frozen=True, slots=True)
class Options:
    """What the run is asked: a folder of texts or none, and which rooms."""

    data: Path | None
    checks: Sequence[str]


CHECKS: Mapping[str, Callable[[Options], Iterator[Line]]] = {
    "classes": lambda asked: classes.lines(),  # noqa: ARG005 - every room is asked alike
    "quantized": lambda asked: quantized.lines(),  # noqa: ARG005 - likewise
    "tokenizers": lambda asked: tokenizers.lines(asked.data),
    "tasks": lambda asked: tasks.lines(),  # noqa: ARG005 - likewise
    "company": lambda asked: batch_mates.lines(asked.data),
    "full": lambda asked: full.lines(),  # noqa: ARG005 - likewise
    "memory": lambda asked: memory.lines(),  # noqa: ARG005 - likewise
}
BIG = ("full", "memory")


def main() -> int:
    """Judge the rooms asked for, print the table, and return the exit status."""
    asked = _asked()
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call] # transformers types it nowhere
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call] # likewise
    logging.captureWarnings(capture=True)  # libraries' warnings would stand between the lines
    print(f"{describe_machine()}; load {load_average():.1f}")
    print(head())
    tally = Tally()
    for name in asked.checks:
        started_s = time.perf_counter()
        torch.set_num_threads(2 if name in BIG else 1)
        show(CHECKS[name](asked), tally, lambda text: print(text, flush=True))
        print(f"{name}: {time.perf_counter() - started_s:.0f} s", file=sys.stderr, flush=True)
    print("distance: float32 max|delta|, half precision and quantised |delta|/|reference|, against the reference in")
    print(
        "float32 on the same (dtype-rounded) weights, quantised on the weights before; other rooms say what in the row"
    )
    print(tally)
    return 1 if tally.n_failed else 0


def _asked() -> Options:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=None)
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args()
    checks = given.only or [name for name in CHECKS if not (given.small and name in BIG)]
    return Options(given.data, checks)


if __name__ == "__main__":
    sys.exit(main())
