"""The lists of what is installed are whole, and the question for known vulnerabilities says what nobody answered."""

from __future__ import annotations

import json
from pathlib import Path

from tests.gates.audit import judge, packages
from tests.gates.sbom import locks, missing, pinned, write

LOCK = f"boto3==1.44.5 \\\n    --hash=sha256:{'0' * 64}\n"


def test_a_file_names_each_package_with_its_version(tmp_path: Path) -> None:
    """The CycloneDX file of a lock names what the lock names."""
    assert write({"one": LOCK}, tmp_path) == []
    written = json.loads((tmp_path / "one.cdx.json").read_text(encoding="utf-8"))
    assert (written["bomFormat"], written["specVersion"]) == ("CycloneDX", "1.6")
    assert [(part["name"], part["version"]) for part in written["components"]] == [("boto3", "1.44.5")]


def test_a_package_that_a_file_lacks_is_found() -> None:
    """A package that is missing, or has another version, is reported."""
    listed = json.dumps({"components": [{"name": "boto3", "version": "1.44.4"}]})
    assert missing(listed, LOCK + "ray==2.60.0\n") == ["boto3==1.44.5", "ray==2.60.0"]


def test_every_lock_has_a_file() -> None:
    """Environments, both targets of the image and the layer of the functions are listed, each with its torch."""
    found = locks()
    assert {"venv", "venv-local", "image-cpu", "image-cuda", "functions-requirements"} <= found.keys()
    assert {name for name in ("venv", "image-cpu", "image-cuda") if "torch" not in pinned(found[name])} == set()
    assert packages()["torch"] == {"2.13.0"}


def test_findings_and_silence_are_told_apart() -> None:
    """A known vulnerability is a finding. A package without an answer is none, and is counted."""
    entries = [
        {"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]},
        {"name": "b", "version": "2", "vulns": []},
        {"name": "c", "skip_reason": "could not be audited"},
    ]
    assert judge({"dependencies": entries}) == (["a==1: CVE-1"], ["c"])
    assert judge(None) == ([], ["all packages"])
