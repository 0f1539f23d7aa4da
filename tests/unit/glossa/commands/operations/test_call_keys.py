"""`glossa call-keys` against Secrets Manager on moto and a kubectl that keeps one secret in a file."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glossa.cli import main
from glossa.commands.operations.call_keys import place_of
from glossa.deployment.call_keys import WAIT_S
from glossa.deployment.environment import DeploySettings, Environment
from glossa.deployment.fake import FakeAccount, FakeRunner
from shared.call_keys import read_call_keys, write_call_keys
from shared.call_token import CallKeys
from tests.unit.glossa.deployment.secret_times import REGION, Kubectl, age, secrets_manager

FIRST = CallKeys("k1", {"k1": b"1" * 32})


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Make a client of Secrets Manager on moto."""
    with secrets_manager(monkeypatch) as client:
        yield client


def keys_of(secrets: Any, arn: str) -> CallKeys:
    """Read the keys of a secret."""
    return read_call_keys(secrets.get_secret_value(SecretId=arn)["SecretString"])


def made(secrets: Any, text: str | None) -> str:
    """Make a secret, without a text as CloudFormation does, and return its ARN."""
    given = {} if text is None else {"SecretString": text}
    return str(secrets.create_secret(Name="call-keys", **given)["ARN"])


def environment(platform: str, region: str = REGION) -> Environment:
    """Return an environment with nothing but a platform."""
    deploy = DeploySettings.model_validate({"platform": platform, "region": region})
    return Environment(name="dev", deploy=deploy, parameters={})


def test_a_rotation_on_a_cluster_goes_on_where_it_stopped(
    secrets: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three runs, each on its own, replace the key in both places. A run in between is refused. No key is printed."""
    arn, kubectl = made(secrets, None), Kubectl(tmp_path, monkeypatch)
    where = ["--secret", arn, "--kubeconfig", "config"]
    assert main(["call-keys", "create", *where]) == 0
    seen = []
    for n_refused in (0, 2, 2):
        if n_refused:
            assert main(["call-keys", "rotate", *where]) == n_refused
            age(arn, WAIT_S)
            kubectl.age(WAIT_S)
        assert main(["call-keys", "rotate", *where]) == 0
        seen.append((keys_of(secrets, arn).signing, list(keys_of(secrets, arn).keys)))
        copied = base64.b64decode(kubectl.secret["data"]["keys.json"]).decode()
        assert copied == write_call_keys(keys_of(secrets, arn))
    assert seen == [("k1", ["k1", "k2"]), ("k2", ["k1", "k2"]), ("k2", ["k2"])]
    captured = capsys.readouterr()
    assert captured.err.count("too early: not every reader knows the keys yet") == 2
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert [line["next_step"] for line in lines] == ["add", "sign", "retire", "add"]
    assert [line["wait_s"] > WAIT_S - 30 for line in lines] == [False, True, True, False]
    assert json.loads(write_call_keys(keys_of(secrets, arn)))["keys"]["k2"] not in captured.out + captured.err


def test_a_rotation_must_know_who_reads_the_keys(secrets: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A secret alone does not say whether a cluster has a copy. So nothing is changed until the caller does."""
    arn = made(secrets, write_call_keys(FIRST))
    for wrong in (["--secret", arn], ["--secret", arn, "--kubeconfig", "c", "--instances"], []):
        assert main(["call-keys", "rotate", *wrong]) == 2
    said = capsys.readouterr().err
    assert "expected --kubeconfig FILE or --instances too: the pods of a cluster read a copy" in said
    assert "expected --environment NAME alone, or --secret ARN" in said
    assert keys_of(secrets, arn) == FIRST
    assert main(["call-keys", "rotate", "--secret", arn, "--instances"]) == 0
    assert list(keys_of(secrets, arn).keys) == ["k1", "k2"]


def test_an_environment_says_where_its_keys_are(tmp_path: Path) -> None:
    """A cluster is signed in to, and gets a copy; instances read the secret themselves."""
    outputs = {"CallKeysSecretArn": "arn", "ClusterName": "glossa-dev"}
    account = FakeAccount(stacks={"glossa-dev-cluster": outputs, "glossa-dev-instances": outputs})
    runner = FakeRunner()
    place = place_of(environment("cluster"), account, runner, tmp_path)
    config = tmp_path / "build" / "deploy" / "dev" / "kubeconfig"
    assert (place.region, place.secret, place.config) == (REGION, "arn", str(config))
    assert runner.lines[0].startswith("aws eks update-kubeconfig --name glossa-dev ")
    assert place_of(environment("instances"), account, runner, tmp_path).cluster is None
    assert len(runner.ran) == 1


def test_an_environment_that_lacks_something_is_named(tmp_path: Path) -> None:
    """Neither a missing region nor a cluster that lets nobody in goes on to a secret."""
    account = FakeAccount(stacks={"glossa-dev-cluster": {"CallKeysSecretArn": "arn", "ClusterName": "glossa-dev"}})
    with pytest.raises(ValueError, match="without a region"):
        place_of(environment("cluster", region=""), account, FakeRunner(), tmp_path)
    with pytest.raises(ValueError, match="cannot sign in to the cluster glossa-dev"):
        place_of(environment("cluster"), account, FakeRunner("eks", 1), tmp_path)
    with pytest.raises(ValueError, match="deploy the environment first"):
        place_of(environment("instances"), account, FakeRunner(), tmp_path)


def test_a_secret_of_something_else_is_left_alone(secrets: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Its text is neither replaced nor shown."""
    arn = made(secrets, '{"password": "hunter2"}')
    for command in (["create"], ["rotate", "--instances"], ["status"]):
        assert main(["call-keys", *command, "--secret", arn]) == 2
    assert "hunter2" not in "".join(capsys.readouterr())
    assert secrets.get_secret_value(SecretId=arn)["SecretString"] == '{"password": "hunter2"}'


def test_a_secret_that_is_not_there_is_named(secrets: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The error is one line."""
    assert main(["call-keys", "status", "--secret", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:x"]) == 2
    assert capsys.readouterr().err.startswith("glossa: AWS refused: ")
    assert secrets.list_secrets()["SecretList"] == []
