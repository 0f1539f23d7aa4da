"""Writes what each environment, the image and the functions hold, as CycloneDX files: `make sbom`.

It reads the locks, so a file names exactly what is installed, with digests. torch is in no lock for CPUs; its version
comes from the .in file. It knows no package index.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / ".venv-gates/bin/cyclonedx-py"
OUT = ROOT / "build/sbom"
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[\w,-]+\])?==([^\s;\\]+)", re.MULTILINE)


def locks() -> dict[str, str]:
    """Return the text of each lock by name: environments, the image's targets, and the layer of the functions."""
    texts = {}
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        asked = path.with_name("image.in" if path.stem.startswith("image-cpu") else f"{path.stem}.in")
        torch = re.findall(r"^torch==\S+", asked.read_text(encoding="utf-8"), re.MULTILINE) if asked.is_file() else []
        texts[path.stem] = text if "torch" in pinned(text) else "\n".join([text, *torch])
    for path in sorted((ROOT / "functions").glob("requirements*.txt")):
        texts[f"functions-{path.stem}"] = path.read_text(encoding="utf-8")
    return texts


def pinned(lock: str) -> dict[str, str]:
    """Return the version of each package of a lock."""
    return {name.lower().replace("_", "-"): version for name, version in PIN.findall(lock)}


def sbom_of(lock: str) -> str:
    """Return the CycloneDX text of a lock. Raises CalledProcessError."""
    command = [TOOL, "requirements", "--sv", "1.6", "--of", "JSON", "--output-reproducible", "-"]
    return subprocess.run(command, input=lock, capture_output=True, text=True, check=True).stdout


def missing(sbom: str, lock: str) -> list[str]:
    """Return each package of the lock that the file does not name, or names with another version."""
    listed = {part["name"].lower().replace("_", "-"): part.get("version") for part in json.loads(sbom)["components"]}
    return sorted(f"{name}=={version}" for name, version in pinned(lock).items() if listed.get(name) != version)


def write(texts: Mapping[str, str], out: Path) -> list[str]:
    """Write a file for each lock, and return what a file lacks."""
    out.mkdir(parents=True, exist_ok=True)
    lost = []
    for name, lock in texts.items():
        sbom = sbom_of(lock)
        (out / f"{name}.cdx.json").write_text(sbom, encoding="utf-8")
        lost += [f"{name}: {package}" for package in missing(sbom, lock)]
    return lost


def main() -> int:
    """Write all files. Return 1 when one lacks a package of its lock."""
    lost = write(locks(), OUT)
    for line in lost:
        sys.stderr.write(f"sbom lacks {line}\n")
    sys.stdout.write(f"{len(locks())} files in {OUT.relative_to(ROOT)}\n")
    return 1 if lost else 0


if __name__ == "__main__":
    raise SystemExit(main())
