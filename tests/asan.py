"""Runs the tests of the CPU kernels with kernels that AddressSanitizer watches: `make asan`.

It compiles each library with gcc and -fsanitize=address, under the name by which a replica finds what was built ahead
of time (serve/kernels/cpu/build.py). Then it runs the tests in a copy of the tree, with libasan loaded first, so that
each tensor of torch is surrounded by guarded memory. First it makes sure that a kernel which reads beyond a tensor ends
the process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from serve.kernels.compiler import FLAGS, library_name, this_machine
from serve.kernels.cpu.build import recipes_for
from tests.house.tree import ROOT, tracked

WATCHED = ("-g", "-O1", "-fno-omit-frame-pointer", "-fsanitize=address")
TESTS = "tests/unit/serve/kernels/cpu"
COPIED = ("serve", "shared", "functions", "glossa", "tests", "checkpoints", "pyproject.toml", "catalog.toml")
FOUND, REPORT = "heap-buffer-overflow", "asan-report"
ROWS = 4
PROBE = f"""
import sys, torch
from serve.kernels.cpu.layer_norm import norm_call
from serve.kernels.cpu.library import load_kernels
from serve.kernels.cpu.variants import AVX2
sums, factors, out = torch.zeros({ROWS}, 16), torch.ones(16), torch.zeros({ROWS}, 16).bfloat16()
addresses = (one.data_ptr() for one in (sums, factors, factors, out))
norm_call(load_kernels(AVX2))(*addresses, 0, int(sys.argv[1]), 16, 1, 1e-5)
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
    """Say whether a kernel that is given a row too many ends the process, and the same kernel without it does not."""
    inside, beyond = (
        subprocess.run(
            [sys.executable, "-c", PROBE, str(rows)], cwd=tree, env=environment(tree), capture_output=True, check=False
        )
        for rows in (ROWS, ROWS + 1)
    )
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
    subprocess.run(["git", "init", "--quiet", tree], check=True)  # tests of the house ask git for the files
    built = tree / "serve" / "kernels" / "built"
    built.mkdir()
    for sources, machine, flags in recipes_for(this_machine()).values():
        compile_watched(tuple(sources), built / library_name(sources, machine, flags), flags)


def main() -> int:
    """Run the tests. Return 1 when AddressSanitizer does not watch, and otherwise the exit code of the tests."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy_tree(tree)
        if not is_watching(tree):
            sys.stderr.write("asan: a kernel that reads beyond a tensor was not found, expected the process to end\n")
            return 1
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-rs", TESTS, *sys.argv[1:]], cwd=tree, env=environment(tree),
            check=False,
        )  # fmt: skip
        sys.stderr.write(take_reports(tree))
        return done.returncode


if __name__ == "__main__":
    raise SystemExit(main())
