"""Asks for known vulnerabilities of everything that is locked: `make audit`.

pip-audit sends names and versions to a public service. Without a way there, this says so, and returns 0: what could
not be asked is no finding. With STRICT=1 it returns 2. It installs nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.gates.sbom import ROOT, locks, pinned

TOOL = ROOT / ".venv-gates/bin/pip-audit"
TIMEOUT_S = 15
FOUND, NOT_ASKED = 1, 2


def packages() -> dict[str, set[str]]:
    """Return the versions of each locked package, over all locks."""
    versions: dict[str, set[str]] = {}
    for lock in locks().values():
        for name, version in pinned(lock).items():
            versions.setdefault(name, set()).add(version)
    return versions


def ask(lock: str) -> Mapping[str, Any] | None:
    """Return the report of pip-audit about the pins of a lock, or None when it has none to give."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "requirements.txt"
        plain.write_text("".join(f"{name}=={version}\n" for name, version in pinned(lock).items()), encoding="utf-8")
        command = [TOOL, "--format", "json", "--progress-spinner", "off", "--timeout", str(TIMEOUT_S)]
        done = subprocess.run(
            [*command, "--disable-pip", "--no-deps", "--requirement", plain],
            capture_output=True,
            text=True,
            check=False,
        )
    try:
        report: Mapping[str, Any] = json.loads(done.stdout)
    except ValueError:
        return None
    return report


def judge(report: Mapping[str, Any] | None) -> tuple[list[str], list[str]]:
    """Return the findings of a report, and the packages that nobody answered for."""
    if report is None:
        return [], ["all packages"]
    entries = report["dependencies"]
    found = [f"{e['name']}=={e['version']}: {v['id']}" for e in entries for v in e.get("vulns", ())]
    return found, [e["name"] for e in entries if "skip_reason" in e]


def main() -> int:
    """Ask about each version once. Return 1 for a finding, and 2 with STRICT=1 when something could not be asked."""
    versions = packages()
    rounds = max(map(len, versions.values()))
    found: list[str] = []
    silent: list[str] = []
    for at in range(rounds):  # one requirements file holds one version of a package
        lock = "\n".join(f"{name}=={sorted(own)[at]}" for name, own in versions.items() if len(own) > at)
        more, unasked = judge(ask(lock))
        found += more
        silent += unasked
        if "all packages" in unasked:
            break
    for line in found:
        sys.stdout.write(f"audit: {line}\n")
    if silent:
        sys.stdout.write(
            f"audit: could not ask about {len(silent)} packages, such as {silent[0]}: no answer from the service\n"
        )
    if found:
        return FOUND
    if silent:
        return NOT_ASKED if os.environ.get("STRICT") else 0
    sys.stdout.write(f"audit: nothing known about {len(versions)} packages\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
