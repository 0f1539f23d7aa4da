"""`make arm`: installs emulator and compiler, and checks the arm64 kernels as two compilers make them.

Exits with 1 when a check failed. Where nothing can run, it says SKIPPED and what is missing.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.arm64.emulated import KERNEL_COMPILERS, PROCESSORS, compile_driver, install, lacking, run


def main() -> int:
    """Run all checks. Return 0 when all passed, or when they could not run."""
    install()
    if said := lacking():
        sys.stdout.write(f"{said}\n")
        return 0
    n_failed = 0
    for name in KERNEL_COMPILERS:
        for variant, processor in PROCESSORS.items():
            with tempfile.TemporaryDirectory() as folder:
                done = run(compile_driver(variant, Path(folder), kernels_by=name), variant)
            n_failed += done.returncode != 0
            by = "as a replica does" if name == "replica" else f"by {name}"
            sys.stdout.write(f"{variant.name}, compiled {by}, on {processor}: {done.stdout}{done.stderr}")
    return 1 if n_failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
