"""Compiles the checks of the kernels (driver.c) for arm64, and runs them under QEMU: `make arm`.

The program holds the kernels and no torch. It compares them with arithmetic in double, and a row alone with the same
row among batch mates. The emulated processor of plain NEON lacks BF16 and I8MM, so no such instruction hides there.
Speed under an emulator means nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from serve.kernels.compiler import compile_library
from serve.kernels.cpu.variants import ARM, NATIVE, NEON, NEON_TILES, SOURCES, Variant, all_flags

HERE = Path(__file__).parent
DRIVER = (HERE / "driver.c", HERE / "driver_layers.c")
EMULATOR, CROSS_COMPILER = "qemu-aarch64-static", "aarch64-linux-gnu-gcc"
PACKAGES = ("gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user-static")  # on Debian; 62 MB are the emulator
LIBRARIES = "/usr/aarch64-linux-gnu"  # where Debian puts libc for arm64
PROCESSORS: Mapping[Variant, str] = {NEON_TILES: "max", NEON: "cortex-a72"}
KERNEL_COMPILERS = ("replica", "gcc")  # what a replica compiles kernels with, and Debian's compiler
FLAGS = ("-O2", "-std=c11", "-Wall", "-Wextra", "-Werror")
INSTALL_S, COMPILE_S, RUN_S = 600, 300, 300


def lacking() -> str:
    """Return why nothing can run here, with the command that helps, or ""."""
    missing = [name for name in (EMULATOR, CROSS_COMPILER) if shutil.which(name) is None]
    if not missing:
        return ""
    said = f"SKIPPED: the checks of the arm64 kernels, because there is no {' and no '.join(missing)}."
    return f"{said} As root on Debian: apt-get install {' '.join(PACKAGES)}"


def compile_driver(variant: Variant, folder: Path, native: Path = NATIVE, *, kernels_by: str = "gcc") -> Path:
    """Compile the checks with the kernels of `native`, and return the program in `folder`.

    Raises RuntimeError with the compiler's message.
    """
    program, library = folder / "driver", folder / "kernels.so"
    parts = [native / source.name for source in SOURCES]
    if kernels_by == "replica":
        if not compile_library(parts, library, ARM, all_flags(variant)):
            raise RuntimeError(f"{variant.name}: found no C compiler for {ARM}, expected ziglang (pip install)")
        parts = [library]
    files = map(str, (*DRIVER, *parts))
    command = [CROSS_COMPILER, *FLAGS, *all_flags(variant), f"-I{native}", *files, "-lm", f"-Wl,-rpath,{folder}"]
    done = subprocess.run(
        [*command, "-o", str(program)], capture_output=True, text=True, check=False, timeout=COMPILE_S
    )
    if done.returncode != 0:
        raise RuntimeError(f"the checks of {variant.name} could not be compiled:\n{done.stderr.strip()}")
    return program


def run(program: Path, variant: Variant) -> subprocess.CompletedProcess[str]:
    """Run the checks of a variant on its emulated processor."""
    command = [EMULATOR, "-cpu", PROCESSORS[variant], "-L", LIBRARIES, str(program)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=RUN_S)


def install() -> None:
    """Install emulator and compiler where Debian's package manager can. Where it cannot, `lacking` says what is."""
    if not lacking() or shutil.which("apt-get") is None or os.geteuid() != 0:
        return
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *PACKAGES]):
        subprocess.run(["apt-get", *words], env=quiet, capture_output=True, check=False, timeout=INSTALL_S)
