"""Checks how the call keys begin, and how secrets reach a cluster."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from glossa.deployment.programs.cluster_secrets import apply, manifest, shaped_call_keys
from shared.call_keys import read_call_keys


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a client of Secrets Manager in memory, with one secret that has no value."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        made = boto3.client("secretsmanager", region_name="eu-central-1")
        made.create_secret(Name="call-keys")
        yield made


def test_an_empty_secret_gets_its_first_key_once(client: Any) -> None:
    """The first run writes a key that signs, and a later run leaves it."""
    first = shaped_call_keys(client, "call-keys")
    assert read_call_keys(first).signing == "k1"
    assert shaped_call_keys(client, "call-keys") == first


def test_a_secret_that_holds_something_else_is_not_thrown_away(client: Any) -> None:
    """What somebody wrote there stays, and the message shows none of it."""
    client.put_secret_value(SecretId="call-keys", SecretString='{"keys": "precious"}')
    with pytest.raises(ValueError, match="got call keys of another form") as caught:
        shaped_call_keys(client, "call-keys")
    assert "precious" not in str(caught.value)
    assert client.get_secret_value(SecretId="call-keys")["SecretString"] == '{"keys": "precious"}'


def test_a_secret_reaches_kubectl_on_its_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest holds the value, and no argument does."""
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/words\ncat > {tmp_path}/input\n', encoding="utf-8")
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert apply("config", manifest("glossa-redis", {"password": "secret"})) == 0
    assert "secret" not in (tmp_path / "words").read_text(encoding="utf-8")
    sent = json.loads((tmp_path / "input").read_text(encoding="utf-8"))
    assert (sent["kind"], sent["metadata"]["namespace"]) == ("Secret", "glossa")
    assert base64.b64decode(sent["data"]["password"]) == b"secret"
