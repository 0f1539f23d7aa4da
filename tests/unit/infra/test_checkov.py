"""The gate over checkov: what passes, what fails, and that checkov itself finds faults in bad templates."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gates.checkov import REGISTRY, Exemption, Finding, findings, problems, read_registry, run_checkov

REASON = "this bucket holds logs, and nobody reads the logs about them"
FOUND = Finding("a.yaml", "CKV_AWS_18", "Logs")
ENTRY = Exemption("a.yaml", "CKV_AWS_18", ("Logs",), REASON)
BAD = """
Resources:
  Open:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: anyone may come in
      SecurityGroupIngress: [{Description: shell, IpProtocol: tcp, FromPort: 22, ToPort: 22, CidrIp: 0.0.0.0/0}]
  Plain:
    Type: AWS::S3::Bucket
"""


def test_a_registered_finding_passes() -> None:
    """A finding with a reason in the registry is no problem."""
    assert problems({FOUND}, [ENTRY], ["a.yaml"]) == []


def test_a_finding_without_an_entry_fails() -> None:
    """A finding that nobody registered is named with its template, its resource and its rule."""
    other = Finding("a.yaml", "CKV_AWS_18", "Documents")
    assert problems({FOUND, other}, [ENTRY], ["a.yaml"]) == [
        "a.yaml: Documents fails CKV_AWS_18; mend it, or register it with a reason"
    ]


def test_an_entry_without_a_finding_fails() -> None:
    """An entry that is no longer needed must go."""
    assert problems(set(), [ENTRY], ["a.yaml"]) == [
        "a.yaml: Logs no longer fails CKV_AWS_18; remove it from the registry"
    ]


def test_entries_of_templates_that_were_not_checked_are_left_alone() -> None:
    """The gate can run over some templates alone."""
    assert problems(set(), [ENTRY], ["b.yaml"]) == []


def test_an_entry_needs_a_reason_and_stands_once() -> None:
    """A reason of a few letters fails, and so does a second entry for the same finding."""
    short = Exemption("a.yaml", "CKV_AWS_18", ("Logs",), "not needed")
    said = problems({FOUND}, [ENTRY, short], ["a.yaml"])
    assert [line.partition(",")[0] for line in said] == [
        "a.yaml: Logs is registered twice for CKV_AWS_18",
        "a.yaml: CKV_AWS_18 says 'not needed'",
    ]


def test_an_entry_has_no_other_keys() -> None:
    """A misspelt key is refused instead of being dropped."""
    with pytest.raises(TypeError, match="ressources"):
        read_registry('[[exemption]]\ntemplate = "a"\ncheck = "b"\nresources = []\nressources = []\nreason = "c"')


def test_checkov_finds_faults_in_a_bad_template(tmp_path: Path) -> None:
    """Checkov runs offline, and finds an open port and a plain bucket."""
    (tmp_path / "bad.yaml").write_text(BAD, encoding="utf-8")
    found = run_checkov(["bad.yaml"], tmp_path)
    assert Finding("bad.yaml", "CKV_AWS_24", "Open") in found
    assert Finding("bad.yaml", "CKV_AWS_21", "Plain") in found
    assert problems(found, read_registry(REGISTRY.read_text(encoding="utf-8")), ["bad.yaml"])


@pytest.mark.parametrize(
    ("report", "message"),
    [
        ("", "no report"),
        ('{"passed": 0, "failed": 0}', "no report"),
        ('{"summary": {"parsing_errors": 1, "resource_count": 3}}', "3 resources with 1 errors"),
        ('{"summary": {"parsing_errors": 0, "resource_count": 0}}', "0 resources"),
    ],
)
def test_a_report_about_nothing_is_an_error(report: str, message: str) -> None:
    """A gate that reads no resource would always pass, so it stops."""
    with pytest.raises(ValueError, match=message):
        findings(report)
