"""Prints how far the engine is from `transformers` on the same weights: class, sizes, dtype.

Exit status 1 when a row fails. Rows come from the public classes of the installed transformers.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
from transformers.utils import logging

from tests.judge import CASES, DTYPES, likes_of, public_classes, trial

LINE = "{:<38}{:<8}{:<10}{:>10}  {:>10}  {}"


def main() -> int:
    """Judge every class, vocabulary and dtype; print a line each and the count."""
    logging.set_verbosity_error()  # type: ignore[no-untyped-call] # transformers types it nowhere
    logging.disable_progress_bar()  # type: ignore[no-untyped-call] # likewise
    torch.set_num_threads(1)
    print(LINE.format("class", "like", "dtype", "distance", "bound", "ok"))
    n_rows = n_failed = n_skipped = 0
    for kind, like, dtype in [(k, s, d) for k in public_classes() for s in likes_of(k) for d in DTYPES]:
        n_rows += 1
        if kind not in CASES:
            n_skipped += 1
            n_failed += 1
            print(LINE.format(kind, like, dtype, "-", "-", "not run: NO, a class we do not know"))
            continue
        with tempfile.TemporaryDirectory() as folder:
            verdict = trial(kind, like, dtype, Path(folder))
        n_failed += not verdict.ok
        figures = (f"{verdict.distance:.2e}", f"{verdict.bound:.2e}", "yes" if verdict.ok else "NO")
        print(LINE.format(kind, like, dtype, *figures))
    print("distance: float32 max|delta|, half precision |delta|/|reference| against float32 on the rounded weights")
    print(f"{n_rows} rows, {n_failed} failed, {n_skipped} not run")
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
