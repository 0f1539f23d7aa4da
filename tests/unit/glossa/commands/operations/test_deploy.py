"""Checks `glossa deploy` and `glossa destroy` without an account."""

from __future__ import annotations

import pytest

from glossa.cli import main


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every credential away."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")


def test_a_dry_run_prints_every_command_and_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    """The plan goes to standard output, what is missing to standard error, and the exit code is 0."""
    assert main(["deploy", "--environment", "prod", "--dry-run"]) == 0
    printed = capsys.readouterr()
    assert "missing: got no region" in printed.err
    assert "missing: got no value for cluster.KubernetesVersion" in printed.err
    assert "--stack-name glossa-prod-network" in printed.out
    assert "VpcId=<VpcId>" in printed.out


def test_nothing_is_created_while_something_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    """A real run stops before its first step, and says how many things are missing."""
    assert main(["deploy", "--environment", "dev", "--yes"]) == 2
    assert "things, expected none: see the lines above" in capsys.readouterr().err


def test_an_unknown_environment_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt environment names those there are."""
    assert main(["deploy", "--environment", "deb", "--dry-run"]) == 2
    assert "got environment 'deb', expected one of ['dev', 'prod']" in capsys.readouterr().err


def test_destroy_shows_what_it_removes_and_what_stays(capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run names every stack, the last one first, and says that data stays."""
    assert main(["destroy", "--environment", "dev", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert printed.index("glossa-dev-observability") < printed.index("glossa-dev-network")
    assert "What stays: buckets, tables" in printed
    assert "Everything else goes, with all logs in CloudWatch" in printed


def test_destroy_needs_a_region(capsys: pytest.CaptureFixture[str]) -> None:
    """The files of the repository have none, so a run without one stops before its question."""
    assert main(["destroy", "--environment", "prod"]) == 2
    assert "got no region, expected that of the stacks" in capsys.readouterr().err


def test_production_asks_for_its_catalog_and_names_what_protects_it(capsys: pytest.CaptureFixture[str]) -> None:
    """The demonstration model is no default of production, and a removal that would stop halfway is announced."""
    assert main(["deploy", "--environment", "prod", "--dry-run"]) == 0
    assert "missing: got no catalog, expected the file that lists your models" in capsys.readouterr().err
    assert main(["destroy", "--environment", "prod", "--dry-run"]) == 0
    assert "warning: got cluster.DeletionProtection true" in capsys.readouterr().err
