"""Finds Chromium, and installs it with fonts of all scripts where Debian's package manager can: `make chromium`.

Without these fonts a picture of Arabic, Thai or Chinese shows boxes. Needs the standard library alone. Must not know
what the browser is for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome")
PACKAGES = ("chromium", "fonts-noto-core", "fonts-noto-cjk")  # 172 MB; 40 s with a fast network
SCRIPTS = ("ar", "th", "zh", "hi", "ja")
LIMIT_S = 600


def browser_path() -> str | None:
    """Return the program of the browser: GLOSSA_CHROMIUM, else the first known name that is installed."""
    return os.environ.get("GLOSSA_CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)


def has_fonts() -> bool:
    """Return whether this machine has a font for each of a few scripts."""
    if shutil.which("fc-list") is None:
        return False
    listed = (["fc-list", f":lang={script}", "file"] for script in SCRIPTS)
    return all(subprocess.run(command, capture_output=True, check=False).stdout for command in listed)


def install() -> str:
    """Install what is missing; return what was done, or why nothing could be."""
    if browser_path() and has_fonts():
        return f"browser: {browser_path()}, with fonts"
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return f"SKIPPED: no Chromium with fonts. As root on Debian: apt-get install {' '.join(PACKAGES)}"
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *PACKAGES],
    ):
        done = subprocess.run(command, env=quiet, capture_output=True, text=True, check=False, timeout=LIMIT_S)
        if done.returncode != 0:
            return f"SKIPPED: Chromium could not be installed: {done.stderr.strip()[-300:]}"
    return f"browser: {browser_path()}, with fonts, installed now"


if __name__ == "__main__":
    sys.stdout.write(f"{install()}\n")
