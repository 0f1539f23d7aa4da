"""Writes a folder whole: nobody sees half of it, and what it replaces stays until it is there.

Must not know what the folder holds.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside `out`, which takes its name at the end. A folder that is there is replaced.

    After an error or an interrupt, `out` is as it was. Raises OSError.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-"))
    made, before = work / "made", work / "before"
    made.mkdir()
    try:
        yield made
        if out.exists():
            out.rename(before)
        try:
            made.rename(out)
        except BaseException:
            if before.exists():
                before.rename(out)
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
