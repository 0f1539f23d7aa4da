"""Compiles the kernel for the machines that functions run on: by Zig, whose wheel is a compiler for all of them.

The library it makes needs no other, not even libc, so that one file serves every Linux of its machine type. Where there
is no Zig, the machine's own compiler makes this machine's. Must not know tokenizers or catalogs.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from functions.pipeline.tokenize.mapped.kernel import MACHINES, kernel_name

SOURCE = Path(__file__).parent / "native" / "unigram.c"
FLAGS = ("-O3", "-std=c11", "-shared", "-fPIC", "-ffreestanding", "-nostdlib", "-s", "-fno-stack-protector",
         "-ffp-contract=off")  # fmt: skip  # sums as the crate makes them: nothing is fused
COMPILE_S = 120.0


def compile_kernels(folder: Path) -> list[Path]:
    """Compile the kernel into a folder for each machine there is a compiler for; return the files, none without one.

    Raises RuntimeError with what a compiler said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for machine in sorted(set(MACHINES.values())):
        compiler = _compiler(machine)
        name = kernel_name(machine)
        if compiler and name:
            _run([*compiler, *FLAGS, "-o", str(folder / name), str(SOURCE)])
            made.append(folder / name)
    return made


def _compiler(machine: str) -> list[str] | None:
    zig = find_spec("ziglang")
    if zig is not None and zig.origin is not None:
        return [str(Path(zig.origin).with_name("zig")), "cc", "-target", f"{machine}-linux-gnu.2.28"]
    own = MACHINES.get(platform.machine().lower()) == machine and platform.system() == "Linux"
    found = shutil.which(os.environ.get("CC", "cc")) if own else None
    return [found] if found else None


def _run(command: list[str]) -> None:
    with tempfile.TemporaryDirectory() as cache:
        caches = {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
        done = subprocess.run(
            command, env={**os.environ, **caches}, capture_output=True, text=True, check=False, timeout=COMPILE_S
        )
    if done.returncode != 0:
        raise RuntimeError(f"the kernel could not be compiled:\n{done.stderr.strip()}")
