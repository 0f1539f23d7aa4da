"""Makes secrets of moto look older, and puts a kubectl on the PATH that keeps one secret in a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.backends import get_backend

REGION = "eu-central-1"


@contextmanager
def secrets_manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give a client of Secrets Manager in memory."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        yield boto3.client("secretsmanager", region_name=REGION)


def age(secret: str, seconds: float) -> None:
    """Let this many seconds pass for every version of a secret."""
    backend: Any = get_backend("secretsmanager")["123456789012"][REGION]
    for version in backend.secrets[secret].versions.values():
        version["createdate"] -= int(seconds)


class Kubectl:
    """A kubectl that gets and applies one secret, which is a file, and writes down its words."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        script = (
            f'#!/bin/sh\necho "$@" >> {folder}/words\ncase " $* " in\n'
            f'*" get "*) cat {folder}/secret 2> /dev/null || true;;\n'
            f"*) test ! -e {folder}/broken && cat > {folder}/secret && echo applied;;\nesac\n"
        )
        (folder / "kubectl").write_text(script, encoding="utf-8")
        (folder / "kubectl").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    @property
    def words(self) -> str:
        """Every word that it got."""
        return (self._folder / "words").read_text(encoding="utf-8")

    @property
    def secret(self) -> Any:
        """What was applied last, None when nothing was."""
        path = self._folder / "secret"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def age(self, seconds: float) -> None:
        """Let this many seconds pass for the secret."""
        found = self.secret
        notes = found["metadata"]["annotations"]
        notes.update({name: str(datetime.fromisoformat(at) - timedelta(seconds=seconds)) for name, at in notes.items()})
        (self._folder / "secret").write_text(json.dumps(found), encoding="utf-8")

    def break_down(self) -> None:
        """Refuse to apply anything from now on."""
        (self._folder / "broken").touch()
