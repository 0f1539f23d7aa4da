"""Finds wrk, the load generator of the benchmarks, and installs it: `python -m benchmarks.load.wrk`.

Installing takes Debian's packages and unpacks them into `.wrk` of this checkout. So it needs no root, and it changes
nothing else on the machine. Runs on any Python 3 with the standard library alone. Must not know what is measured.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks import ROOT

FOLDER = ROOT / ".wrk"
PACKAGES = ("wrk", "libluajit-5.1-2")
STEP_S = 120.0
MISSING = (
    "wrk, the load generator, is missing: run `make setup-test` (Debian, Ubuntu) or install it with your own tools"
)


class Wrk(NamedTuple):
    """A program that can be started, and the environment variables it needs."""

    program: str
    environment: Mapping[str, str]


def find_wrk(search_path: str | None = None, folder: Path = FOLDER) -> Wrk | None:
    """Return the wrk of a search path (by default that of this process), else the one in `folder`, else None."""
    if found := shutil.which("wrk", path=search_path):
        return Wrk(found, {})
    program = folder / "usr" / "bin" / "wrk"
    if not program.exists():
        return None
    return Wrk(
        str(program), {"LD_LIBRARY_PATH": ":".join(map(str, sorted((folder / "usr" / "lib").glob("*-linux-*"))))}
    )


def can_install() -> bool:
    """Return whether this machine has Debian's package tools."""
    return shutil.which("apt-get") is not None and shutil.which("dpkg-deb") is not None


def install(folder: Path) -> None:
    """Download wrk and the library it needs, and unpack both into `folder`.

    Takes the machine's list of packages first. Where that is missing or too old, a list of its own is fetched.
    Raises RuntimeError when a step fails or wrk does not start.
    """
    shutil.rmtree(folder, ignore_errors=True)
    downloads = folder / "packages"
    (downloads / "lists" / "partial").mkdir(parents=True)
    (downloads / "cache" / "archives" / "partial").mkdir(parents=True)
    own = [
        "-o", f"Dir::State::Lists={downloads / 'lists'}", "-o", f"Dir::Cache={downloads / 'cache'}",
        "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root",
    ]  # fmt: skip
    try:
        _step("apt-get", "-q", "download", *PACKAGES, folder=downloads)
    except RuntimeError:
        _step("apt-get", "-q", *own, "update", folder=downloads)
        _step("apt-get", "-q", *own, "download", *PACKAGES, folder=downloads)
    for package in sorted(downloads.glob("*.deb")):
        _step("dpkg-deb", "-x", str(package), str(folder), folder=downloads)
    shutil.rmtree(downloads)
    _check_starts(folder)


def _check_starts(folder: Path) -> None:
    """Raise RuntimeError when the unpacked wrk does not say its version."""
    wrk = find_wrk("", folder)
    if wrk is None:
        raise RuntimeError(f"the packages {', '.join(PACKAGES)} contain no wrk")
    done = subprocess.run(
        [wrk.program, "--version"], env={**os.environ, **wrk.environment}, capture_output=True, text=True, check=False,
        timeout=STEP_S,
    )  # fmt: skip
    if not done.stdout.startswith("wrk "):  # it ends with status 1 after its version
        raise RuntimeError(f"wrk does not start: {done.stderr.strip()[-300:]}")


def _step(*command: str, folder: Path) -> None:
    """Run a command in `folder`. Raises RuntimeError with its last words when it fails."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=STEP_S)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{command[0]} has not ended after {STEP_S:.0f} s") from None
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-300:]}")


def main() -> int:
    """Install wrk unless it is there. Say in one line when that fails; the tests that need it then say so too."""
    if find_wrk() is not None:
        return 0
    if not can_install():
        print(MISSING, file=sys.stderr)
        return 0
    try:
        install(FOLDER)
    except RuntimeError as failure:
        print(f"{MISSING} ({failure})", file=sys.stderr)
        return 0
    (FOLDER / ".done").touch()
    return 0


if __name__ == "__main__":
    sys.exit(main())
