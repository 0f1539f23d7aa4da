"""`glossa call-keys` against Secrets Manager on moto: each step alone, in any run, and never a refused call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from glossa.cli import main
from glossa.commands.operations.call_keys import create, next_step, rotated
from shared.call_keys import read_call_keys, write_call_keys
from shared.call_token import CallKeys, sign, verify
from shared.errors import UnknownCallKey

FIRST = CallKeys("k1", {"k1": b"1" * 32})


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Make a client of Secrets Manager on moto."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        yield boto3.client("secretsmanager")


def keys_of(secrets: Any, arn: str) -> CallKeys:
    """Read the keys of a secret."""
    return read_call_keys(secrets.get_secret_value(SecretId=arn)["SecretString"])


def made(secrets: Any, text: str | None) -> str:
    """Make a secret, without a text as CloudFormation does, and return its ARN."""
    given = {} if text is None else {"SecretString": text}
    return str(secrets.create_secret(Name="call-keys", **given)["ARN"])


@pytest.mark.parametrize("text", [None, "{}", ""])
def test_an_empty_secret_gets_a_key(secrets: Any, text: str | None) -> None:
    """A second run changes nothing."""
    arn = made(secrets, text or None)
    assert main(["call-keys", "create", "--secret", arn]) == 0
    first = keys_of(secrets, arn)
    assert (first.signing, list(first.keys)) == ("k1", ["k1"])
    assert create(secrets, arn) == write_call_keys(first)


def test_a_secret_of_something_else_is_left_alone(secrets: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Its text is neither replaced nor shown."""
    arn = made(secrets, '{"password": "hunter2"}')
    for command in ("create", "rotate", "status"):
        assert main(["call-keys", command, "--secret", arn]) == 2
    assert "hunter2" not in "".join(capsys.readouterr())
    assert secrets.get_secret_value(SecretId=arn)["SecretString"] == '{"password": "hunter2"}'


def test_a_secret_that_is_not_there_is_named(secrets: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The error is one line."""
    assert main(["call-keys", "rotate", "--secret", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:x"]) == 2
    assert capsys.readouterr().err.startswith("glossa: AWS refused: ")
    assert secrets.list_secrets()["SecretList"] == []


def test_a_rotation_goes_on_where_it_stopped(secrets: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Three runs, each on its own, replace the key. No key is printed."""
    arn = made(secrets, write_call_keys(FIRST))
    seen = []
    for _ in range(3):
        assert main(["call-keys", "rotate", "--secret", arn]) == 0
        seen.append((keys_of(secrets, arn).signing, list(keys_of(secrets, arn).keys)))
    assert seen == [("k1", ["k1", "k2"]), ("k2", ["k1", "k2"]), ("k2", ["k2"])]
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert [line["next_step"] for line in lines] == ["sign", "retire", "add"]
    assert json.loads(write_call_keys(keys_of(secrets, arn)))["keys"]["k2"] not in captured.out + captured.err


def test_a_step_is_taken_in_its_turn_only(secrets: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A script that repeats a step changes nothing."""
    arn = made(secrets, write_call_keys(FIRST))
    assert main(["call-keys", "rotate", "--secret", arn, "--step", "retire"]) == 2
    assert "got the step retire, expected add" in capsys.readouterr().err
    assert main(["call-keys", "rotate", "--secret", arn, "--step", "add"]) == 0
    assert main(["call-keys", "rotate", "--secret", arn, "--step", "add"]) == 2
    assert list(keys_of(secrets, arn).keys) == ["k1", "k2"]


def test_no_call_is_refused_between_two_steps() -> None:
    """While one side has the text before a step and the other the text after it, each token is accepted."""
    before = FIRST
    for _ in range(7):
        after = rotated(before, next_step(before))
        for signer, replica in ((before, after), (after, before), (after, after)):
            verify(replica, sign(signer, "GET", "/v2", b""), "GET", "/v2")
        before = after
    assert before.signing == "k3"
    with pytest.raises(UnknownCallKey):
        verify(before, sign(FIRST, "GET", "/v2", b""), "GET", "/v2")
