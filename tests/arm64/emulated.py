"""Compiles the checks of the kernels (driver.c) for arm64, and runs them under QEMU: `make arm`.

The program holds the kernels and no torch. It compares them with arithmetic in double, and a row alone with the same
row in company. The emulated processor of plain NEON lacks BF16 and I8MM, so that no such instruction hides there. Speed
under an emulator means nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from serve.kernels.cpu.variants import NATIVE, NEON, NEON_TILES, SOURCES, Variant, all_flags

HERE = Path(__file__).parent
DRIVER = (HERE / "driver.c", HERE / "driver_layers.c")
EMULATOR, CROSS_COMPILER = "qemu-aarch64-static", "aarch64-linux-gnu-gcc"
PACKAGES = ("gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user-static")  # on Debian; 62 MB are the emulator
PROCESSORS: Mapping[Variant, str] = {NEON_TILES: "max", NEON: "cortex-a72"}
FLAGS = ("-O3", "-std=c11", "-static", "-Wall", "-Wextra", "-Werror")
INSTALL_S, COMPILE_S, RUN_S = 600, 300, 300


def compilers() -> dict[str, tuple[str, ...]]:
    """Return the commands of the compilers for arm64 that are here: Zig, which replicas use, and Debian's gcc."""
    found: dict[str, tuple[str, ...]] = {}
    zig = find_spec("ziglang")
    if zig is not None and zig.origin is not None:
        found["zig"] = (str(Path(zig.origin).with_name("zig")), "cc", "-target", "aarch64-linux-musl")
    if (gcc := shutil.which(CROSS_COMPILER)) is not None:
        found["gcc"] = (gcc,)
    return found


def lacking() -> str:
    """Return why nothing can run here, with the command that helps, or ""."""
    needed = {EMULATOR: shutil.which(EMULATOR), "a compiler": compilers()}
    missing = [name for name, is_here in needed.items() if not is_here]
    if not missing:
        return ""
    said = f"SKIPPED: the checks of the arm64 kernels, because there is no {' and no '.join(missing)}."
    return f"{said} As root on Debian: apt-get install {' '.join(PACKAGES)}"


def compile_driver(compiler: Sequence[str], variant: Variant, out: Path, native: Path = NATIVE) -> None:
    """Compile the checks with the kernels in `native` into the program `out`.

    Raises RuntimeError with the compiler's message.
    """
    sources = [*DRIVER, *(native / source.name for source in SOURCES)]
    with tempfile.TemporaryDirectory() as cache:
        zig = dict.fromkeys(("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"), cache)
        command = [*compiler, *FLAGS, *all_flags(variant), f"-I{native}", *map(str, sources), "-lm", "-o", str(out)]
        done = subprocess.run(
            command, env={**os.environ, **zig}, capture_output=True, text=True, check=False, timeout=COMPILE_S
        )
    if done.returncode != 0:
        raise RuntimeError(f"the checks of {variant.name} could not be compiled:\n{done.stderr.strip()}")


def run(program: Path, variant: Variant) -> subprocess.CompletedProcess[str]:
    """Run the checks of a variant on its emulated processor."""
    command = [EMULATOR, "-cpu", PROCESSORS[variant], str(program)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=RUN_S)


def install() -> None:
    """Install emulator and compiler where Debian's package manager can. Where it cannot, `lacking` says what is."""
    is_whole = shutil.which(EMULATOR) is not None and shutil.which(CROSS_COMPILER) is not None
    if is_whole or shutil.which("apt-get") is None or os.geteuid() != 0:
        return
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *PACKAGES]):
        subprocess.run(["apt-get", *words], env=quiet, capture_output=True, check=False, timeout=INSTALL_S)
