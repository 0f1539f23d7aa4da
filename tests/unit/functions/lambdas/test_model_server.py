"""What infer and work open to call the model server: keys of a secret or a file, and the authority of the package."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from functions.lambdas.model_server import open_breakers, open_call_keys, open_client
from functions.lambdas.settings import ReplicaSettings
from functions.replica.breaker_state import BreakerState
from shared.call_keys import KeyCache, KeyFile, write_call_keys, write_key_file
from shared.call_token import CallKeys
from shared.settings import read_settings

KEYS = CallKeys("k1", {"k1": b"1" * 32})
URL = {"GLOSSA_REPLICA_URL": "https://replica.internal"}
ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:call-keys-AbCdEf"


def settings(**named: str) -> ReplicaSettings:
    """Return settings with these variables."""
    return read_settings(ReplicaSettings, URL | {f"GLOSSA_{name.upper()}": value for name, value in named.items()})


def test_keys_of_a_secret_are_read_at_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening them reads nothing. A changed secret is read again after it was forgotten."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        client = boto3.client("secretsmanager")
        arn = client.create_secret(Name="call-keys", SecretString=write_call_keys(KEYS))["ARN"]
        keys = open_call_keys(settings(call_keys_secret=arn))
        assert isinstance(keys, KeyCache)
        assert keys.keys() == KEYS
        newer = CallKeys("k2", {"k2": b"2" * 32})
        client.put_secret_value(SecretId=arn, SecretString=write_call_keys(newer))
        assert keys.keys() == KEYS
        keys.forget()
        assert keys.keys() == newer


def test_breakers_are_shared_through_the_table_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 is asked at the first failure. Without a table each function has its own breakers."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    assert open_breakers(settings()) is None
    with mock_aws():
        names = {"pk": "HASH", "sk": "RANGE"}
        boto3.client("dynamodb").create_table(
            TableName="jobs",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in names.items()],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
        )
        one, other = (open_breakers(settings(breakers_table="jobs")) for _ in range(2))
        assert one is not None
        assert other is not None
        assert one.swap("mini", BreakerState(is_open=True, version=1), replaces=0)[0]
        assert other.read("mini") == BreakerState(is_open=True, version=1)


def test_keys_of_a_file_and_no_keys(tmp_path: Path) -> None:
    """A file is for one machine. Without either, calls are unsigned."""
    write_key_file(tmp_path / "keys.json")
    assert isinstance(open_call_keys(settings(call_keys_file=str(tmp_path / "keys.json"))), KeyFile)
    assert open_call_keys(settings()) is None


def test_the_authority_of_the_package_is_trusted(tmp_path: Path) -> None:
    """A file that is not there leaves the public authorities. One that is no text stops the start."""
    open_client(settings(replica_ca=str(tmp_path / "none.pem")), None)
    (tmp_path / "ca.pem").write_bytes(b"\xff")
    with pytest.raises(ValueError, match="ascii"):
        open_client(settings(replica_ca=str(tmp_path / "ca.pem")), None)


@pytest.mark.parametrize(
    ("url", "fits"),
    [("https://replica.internal:8443", True), ("http://127.0.0.1:8000", True), ("http://localhost", True),
     ("http://replica.internal", False), ("http://127.0.0.1.evil.example", False), ("https://user@host", False),
     ("https://host/path", False)],
)  # fmt: skip
def test_texts_travel_encrypted_beyond_one_machine(*, url: str, fits: bool) -> None:
    """An address without TLS is for loopback alone."""
    if fits:
        assert read_settings(ReplicaSettings, {"GLOSSA_REPLICA_URL": url}).replica_url == url
        return
    with pytest.raises(ValueError, match="GLOSSA_REPLICA_URL"):
        read_settings(ReplicaSettings, {"GLOSSA_REPLICA_URL": url})


@pytest.mark.parametrize("arn", ["call-keys", ARN.replace("secretsmanager", "ssm"), ARN + " x"])
def test_the_secret_is_named_by_its_arn(arn: str) -> None:
    """Anything else stops the start of the function."""
    assert settings(call_keys_secret=ARN).call_keys_secret == ARN
    with pytest.raises(ValueError, match="GLOSSA_CALL_KEYS_SECRET"):
        settings(call_keys_secret=arn)
