"""Settings are read once and do not change. The error for a bad variable names it."""

from __future__ import annotations

import pytest
from pydantic import Field, ValidationError

from shared.settings import Settings, read_settings


class LambdaSettings(Settings):
    """Settings of a Lambda."""

    replica_url: str
    max_rows: int = Field(default=8, ge=1)


def test_fields_come_from_prefixed_variables() -> None:
    """GLOSSA_REPLICA_URL is `replica_url`. Other variables are ignored, and empty ones count as absent."""
    found = read_settings(LambdaSettings, {"GLOSSA_REPLICA_URL": "http://x", "GLOSSA_MAX_ROWS": "", "PATH": "/bin"})
    assert found == LambdaSettings(replica_url="http://x", max_rows=8)


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "GLOSSA_REPLICA_URL"),
        ({"GLOSSA_REPLICA_URL": ""}, "GLOSSA_REPLICA_URL"),
        ({"GLOSSA_REPLICA_URL": "x", "GLOSSA_MAX_ROWS": "many"}, "GLOSSA_MAX_ROWS"),
        ({"GLOSSA_REPLICA_URL": "x", "GLOSSA_MAX_ROWS": "0"}, "GLOSSA_MAX_ROWS"),
    ],
)
def test_a_bad_variable_is_named(environ: dict[str, str], name: str) -> None:
    """The start stops with an error that names the variable."""
    with pytest.raises(ValueError, match=rf"settings of LambdaSettings cannot be read: {name}: "):
        read_settings(LambdaSettings, environ)


def test_every_bad_variable_is_named_at_once() -> None:
    """One error names all bad variables."""
    with pytest.raises(ValueError, match=r"GLOSSA_REPLICA_URL: .*; GLOSSA_MAX_ROWS: .*'many'"):
        read_settings(LambdaSettings, {"GLOSSA_MAX_ROWS": "many"})


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a mapping, the environment of the process is read."""
    monkeypatch.setenv("GLOSSA_REPLICA_URL", "http://y")
    assert read_settings(LambdaSettings).replica_url == "http://y"


def test_settings_do_not_change() -> None:
    """A field cannot be assigned."""
    with pytest.raises(ValidationError):
        LambdaSettings(replica_url="x").replica_url = "y"
