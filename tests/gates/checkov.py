"""Runs checkov over templates, and compares its findings with infra/exemptions.toml.

A finding passes only when the registry names it with a reason. An entry of the registry that matches no finding fails
too, so the registry never grows old. `make check` runs it: `python -m tests.gates.checkov template.yaml infra/*.yaml`.
It knows no template, and changes none.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REGISTRY = ROOT / "infra/exemptions.toml"
SHORTEST_REASON = 30  # characters; less explains nothing


@dataclass(frozen=True, order=True)
class Finding:
    """One resource of a template that breaks one rule of checkov."""

    template: str
    check: str
    resource: str


@dataclass(frozen=True)
class Exemption:
    """A rule that some resources of one template may break, and why."""

    template: str
    check: str
    resources: tuple[str, ...]
    reason: str

    def findings(self) -> set[Finding]:
        """Return the findings that this entry allows."""
        return {Finding(self.template, self.check, resource) for resource in self.resources}


def read_registry(text: str) -> list[Exemption]:
    """Read the registry. Raises TypeError when an entry has other keys than those of an exemption."""
    entries = tomllib.loads(text)["exemption"]
    return [Exemption(**{**entry, "resources": tuple(entry["resources"])}) for entry in entries]


def problems(found: set[Finding], registry: Sequence[Exemption], templates: Sequence[str]) -> list[str]:
    """Say what is wrong: findings without an entry, entries without a finding, and entries that explain nothing.

    Entries for templates that were not checked are left alone.
    """
    registry = [entry for entry in registry if entry.template in templates]
    allowed = [finding for entry in registry for finding in entry.findings()]
    said = [
        f"{f.template}: {f.resource} fails {f.check}; mend it, or register it with a reason"
        for f in sorted(found - set(allowed))
    ]
    said += [
        f"{f.template}: {f.resource} no longer fails {f.check}; remove it from the registry"
        for f in sorted(set(allowed) - found)
    ]
    said += [f"{f.template}: {f.resource} is registered twice for {f.check}" for f in sorted(_twice(allowed))]
    return said + [
        f"{entry.template}: {entry.check} says {entry.reason!r}, expected at least {SHORTEST_REASON} characters"
        for entry in registry
        if len(entry.reason) < SHORTEST_REASON
    ]


def _twice(allowed: Sequence[Finding]) -> set[Finding]:
    return {finding for finding in allowed if allowed.count(finding) > 1}


def run_checkov(templates: Sequence[str], folder: Path = ROOT) -> set[Finding]:
    """Return what checkov finds in templates below `folder`. It downloads nothing.

    Raises ValueError when checkov cannot read a template, or reads none.
    """
    options = "--framework cloudformation --output json --skip-download --compact --quiet --file"
    command = [str(ROOT / ".venv-gates/bin/python"), "-m", "checkov.main", *options.split(), *templates]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    try:
        return findings(ran.stdout)
    except ValueError as error:
        raise ValueError(f"{', '.join(templates)}: {error}\n{ran.stderr[-2000:]}") from error


def findings(report: str) -> set[Finding]:
    """Read a report of checkov. Raises ValueError when it is none, holds errors, or is about no resource at all."""
    try:
        read = json.loads(report)
        errors, n_resources = read["summary"]["parsing_errors"], read["summary"]["resource_count"]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError("checkov gave no report") from error
    if errors or not n_resources:
        raise ValueError(f"checkov read {n_resources} resources with {errors} errors, expected some and none")
    return {
        Finding(failed["file_path"].lstrip("/"), failed["check_id"], failed["resource"].rpartition(".")[2])
        for failed in read["results"]["failed_checks"]
    }


def main() -> None:
    """Check the templates named on the command line. Exits with 1 and one line for each problem."""
    parser = argparse.ArgumentParser(description="Runs checkov, and compares its findings with infra/exemptions.toml.")
    parser.add_argument("templates", nargs="+", help="paths of templates, relative to the repository")
    templates = parser.parse_args().templates
    said = problems(run_checkov(templates), read_registry(REGISTRY.read_text(encoding="utf-8")), templates)
    if said:
        raise SystemExit("\n".join(said))


if __name__ == "__main__":
    main()
