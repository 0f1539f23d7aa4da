"""Keeps few of the states of a model that were downloaded. Must not know where they came from, or what is in them."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

KEPT_STATES = 2  # of one model: the newest, and the one before it, which a replica may still be reading
PARTIAL, STALE_S = "partial-", 24 * 3600.0  # an unfinished download that is older belongs to a process that has ended


def remove_old(states: Path) -> None:
    """Remove the states of a model that were not used lately, and downloads that nobody finishes.

    A state gets another name first, so that no process takes a half removed folder for a checkpoint. A process that
    has its files open goes on. Raises OSError when another process does the same; what is left is removed next time.
    """
    used = sorted(((path.stat().st_mtime, path) for path in states.iterdir()), reverse=True)
    for at_s, path in used:
        if path.name.startswith(PARTIAL) and at_s < time.time() - STALE_S:
            shutil.rmtree(path, ignore_errors=True)
    complete = [path for _, path in used if not path.name.startswith(PARTIAL)]
    for path in complete[KEPT_STATES:]:
        shutil.rmtree(path.rename(path.with_name(f"{PARTIAL}{path.name}")), ignore_errors=True)
