"""Compiles C for a Linux machine type.

It uses Zig, whose Python wheel holds a compiler for all machine types, or else the C compiler of this machine. The
result needs no other library, not even libc, so that one file serves every Linux with the processor features in the
flags. An image without a compiler brings libraries that were compiled when it was built, in the folder BUILT. This
module must not know what it compiles.
"""

from __future__ import annotations

import ctypes
import hashlib
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

FLAGS = ("-O3", "-std=c11", "-shared", "-fPIC", "-ffreestanding", "-nostdlib", "-s", "-fno-stack-protector")
COMPILE_S = 120.0
BUILT = Path(__file__).parent / "built"  # absent in a checkout; serve/kernels/cpu/build.py fills it in an image


def compile_library(
    sources: Sequence[Path], out: Path, machine: str, flags: Iterable[str] = (), *, own: str = "cc"
) -> bool:
    """Compile C sources into the shared library `out` for `machine` (x86_64 or aarch64).

    Return False without a compiler.

    `own` is the C compiler of this machine. Raises RuntimeError with the compiler's message, or when it does not end in
    time.
    """
    compiler = _compiler(machine, own)
    if compiler is None:
        return False
    names = ", ".join(source.name for source in sources)
    with tempfile.TemporaryDirectory() as cache:
        # through the program `env`, because only shared/settings.py reads our environment
        caches = [f"{name}={cache}" for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")]
        command = ["env", *caches, *compiler, *FLAGS, *flags, "-o", str(out), *map(str, sources)]
        try:
            done = subprocess.run(
                command, capture_output=True, encoding="utf-8", errors="replace", check=False, timeout=COMPILE_S
            )
        except subprocess.TimeoutExpired as late:
            raise RuntimeError(f"{names}: not compiled in {COMPILE_S:g} s by {compiler[0]}") from late
    if done.returncode != 0:
        raise RuntimeError(f"{names} could not be compiled:\n{done.stderr.strip()}")
    return True


def library_name(sources: Sequence[Path], machine: str, flags: Iterable[str]) -> str:
    """Return the file name of a library: a digest of its sources, their headers, `machine` and the flags.

    A library of other sources therefore has another name, and is never loaded in place of the right one.
    """
    headers = {header for source in sources for header in source.parent.glob("*.h")}
    digest = hashlib.sha256("\0".join((machine, *FLAGS, *flags)).encode())
    for path in (*sources, *sorted(headers)):
        digest.update(f"\0{path.name}\0".encode() + path.read_bytes())
    return f"{digest.hexdigest()[:32]}.so"


def is_built(sources: Sequence[Path], machine: str, flags: Iterable[str], *, built: Path = BUILT) -> bool:
    """Say whether a library of just these sources, machine and flags was built ahead of time."""
    return (built / library_name(sources, machine, flags)).is_file()


def load_compiled(
    sources: Sequence[Path], machine: str, flags: Iterable[str], *, built: Path = BUILT
) -> ctypes.CDLL | None:
    """Load C sources as one library: from `built` if it is there, else compiled for this process.

    Return None when it is not there and there is no compiler. Raises RuntimeError as `compile_library` does, and
    OSError when the library does not load.
    """
    flags = tuple(flags)
    if is_built(sources, machine, flags, built=built):
        return ctypes.CDLL(str(built / library_name(sources, machine, flags)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernels.so"
        return (
            ctypes.CDLL(str(path)) if compile_library(sources, path, machine, flags) else None
        )  # a loaded library outlives its file


def this_machine() -> str:
    """Return the machine type as Linux and compilers name it."""
    return platform.machine().lower()


def _compiler(machine: str, own: str) -> list[str] | None:
    zig = find_spec("ziglang")
    if zig is not None and zig.origin is not None:
        return [str(Path(zig.origin).with_name("zig")), "cc", "-target", f"{machine}-linux-gnu.2.28"]
    is_ours = this_machine() == machine and platform.system() == "Linux"
    found = shutil.which(own) if is_ours else None
    return [found] if found else None
