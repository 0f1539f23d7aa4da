"""Runs the tests of the CPU kernels with kernels that AddressSanitizer watches: `make asan`.

It compiles each library with gcc and -fsanitize=address, under the name by which a replica finds what was built ahead
of time (serve/kernels/cpu/build.py). Then it runs the tests in a copy of the tree, with libasan loaded first, so that
each tensor of torch is surrounded by guarded memory. First it makes sure that a read beyond a tensor ends the process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from serve.kernels.compiler import FLAGS, library_name
from serve.kernels.cpu.build import RECIPES
from tests.house.tree import ROOT, tracked

WATCHED = ("-g", "-O1", "-fno-omit-frame-pointer", "-fsanitize=address")
TESTS = "tests/unit/serve/kernels/cpu"
COPIED = ("serve", "shared", "functions", "glossa", "tests", "checkpoints", "pyproject.toml", "catalog.toml")
FOUND, REPORT = "heap-buffer-overflow", "asan-report"
READ_BEYOND = "int glossa_read(const char *from, long at) { return from[at]; }\n"
PROBE = """
import ctypes, sys, torch
library, tensor = ctypes.CDLL(sys.argv[1]), torch.zeros(64, dtype=torch.uint8)
library.glossa_read.argtypes = [ctypes.c_void_p, ctypes.c_long]
library.glossa_read(tensor.data_ptr(), int(sys.argv[2]))
"""


def compile_watched(sources: tuple[Path, ...], out: Path, flags: tuple[str, ...]) -> None:
    """Compile with AddressSanitizer. Raises CalledProcessError."""
    kept = [flag for flag in FLAGS if flag not in ("-s", "-O3")]
    subprocess.run(["gcc", *kept, *WATCHED, *flags, "-o", str(out), *map(str, sources)], check=True)


def environment(tree: Path) -> dict[str, str]:
    """Return the variables under which a process loads libasan before everything else."""
    found = [
        subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libstdc++.so.6")  # the latter, because torch throws, and libasan watches that too
    ]
    preloaded = " ".join(str(Path(library).resolve()) for library in found)
    options = "detect_leaks=0:abort_on_error=0:exitcode=99:detect_odr_violation=0"  # Python keeps memory until its end
    options += f":log_path={tree / REPORT}"  # pytest would keep it to itself when the process ends
    watched = {"LD_PRELOAD": preloaded, "ASAN_OPTIONS": options, "PYTHONPATH": str(tree)}
    return {**os.environ, **watched, "PYTHONDONTWRITEBYTECODE": "1"}


def is_watching(tree: Path) -> bool:
    """Say whether a read right behind a tensor ends the process, and a read of its last byte does not."""
    source, library = tree / "read.c", tree / "read.so"
    source.write_text(READ_BEYOND)
    compile_watched((source,), library, ())
    inside, beyond = (
        subprocess.run(
            [sys.executable, "-c", PROBE, str(library), str(at)], env=environment(tree), capture_output=True, text=True,
            check=False,
        )
        for at in (63, 64)
    )  # fmt: skip
    return inside.returncode == 0 and beyond.returncode != 0 and FOUND in take_reports(tree)


def take_reports(tree: Path) -> str:
    """Return what AddressSanitizer wrote since the last call."""
    files = sorted(tree.glob(f"{REPORT}.*"))
    text = "\n".join(file.read_text(errors="replace") for file in files)
    for file in files:
        file.unlink()
    return text


def copy_tree(tree: Path) -> None:
    """Copy what the tests need, and put the watched kernels where they are looked for."""
    for path in tracked():
        if path.split("/")[0] in COPIED:
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, tree / path)
    built = tree / "serve" / "kernels" / "built"
    built.mkdir()
    for sources, machine, flags in RECIPES.values():
        compile_watched(tuple(sources), built / library_name(sources, machine, flags), flags)


def main() -> int:
    """Run the tests. Return 1 when AddressSanitizer does not watch, and otherwise the exit code of the tests."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy_tree(tree)
        if not is_watching(tree):
            sys.stderr.write("asan: a read beyond a tensor was not found, expected the process to end\n")
            return 1
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-rs", TESTS, *sys.argv[1:]], cwd=tree, env=environment(tree),
            check=False,
        )  # fmt: skip
        sys.stderr.write(take_reports(tree))
        return done.returncode


if __name__ == "__main__":
    raise SystemExit(main())
