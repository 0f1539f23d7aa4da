"""`make arm`: installs emulator and compiler, and checks the arm64 kernels with each compiler that is here.

Exits with 1 when a check failed. Where nothing can run, it says SKIPPED and what is missing.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.arm64.emulated import PROCESSORS, compile_driver, compilers, install, lacking, run


def main() -> int:
    """Run all checks. Return 0 when all passed, or when they could not run."""
    install()
    if said := lacking():
        sys.stdout.write(f"{said}\n")
        return 0
    n_failed = 0
    for name, compiler in compilers().items():
        for variant, processor in PROCESSORS.items():
            with tempfile.TemporaryDirectory() as folder:
                compile_driver(compiler, variant, Path(folder) / "driver")
                done = run(Path(folder) / "driver", variant)
            n_failed += done.returncode != 0
            sys.stdout.write(f"{variant.name}, compiled by {name}, on {processor}: {done.stdout}{done.stderr}")
    return 1 if n_failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
