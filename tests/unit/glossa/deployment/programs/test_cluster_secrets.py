"""Checks how secrets reach a cluster, and that the copy of the call keys keeps the time when it came."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from glossa.deployment.call_keys import Held
from glossa.deployment.programs.cluster_secrets import CallKeyCopy, apply, manifest
from tests.unit.glossa.deployment.secret_times import Kubectl


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kubectl:
    """Return a kubectl that keeps one secret in a file."""
    return Kubectl(tmp_path, monkeypatch)


def test_a_secret_reaches_kubectl_on_its_standard_input(kubectl: Kubectl) -> None:
    """The manifest holds the value, and no argument does."""
    assert apply("config", manifest("glossa-redis", {"password": "secret"})) == 0
    assert "secret" not in kubectl.words
    assert (kubectl.secret["kind"], kubectl.secret["metadata"]["namespace"]) == ("Secret", "glossa")
    assert base64.b64decode(kubectl.secret["data"]["password"]) == b"secret"


def test_the_copy_of_the_keys_says_since_when_it_is_there(kubectl: Kubectl) -> None:
    """The same text keeps its time, another text has a new one, and the JSON that replicas read has neither."""
    copy = CallKeyCopy("config")
    assert copy.held() is None
    for text, now_s, since_s in (("one", 1000, 1000), ("one", 2000, 1000), ("two", 3000, 3000)):
        copy.copy(text, now_s)
        assert copy.held() == Held(text, since_s)
    assert base64.b64decode(kubectl.secret["data"]["keys.json"]) == b"two"


def test_a_copy_of_unknown_age_is_taken_for_new(kubectl: Kubectl) -> None:
    """A secret that somebody else wrote has no time, and gets one."""
    assert apply("config", manifest("glossa-call-keys", {"keys.json": "one"})) == 0
    copy = CallKeyCopy("config")
    assert copy.held() == Held("one", 0.0)
    copy.copy("one", 5000)
    assert copy.held() == Held("one", 5000)


def test_a_kubectl_that_fails_is_an_error(kubectl: Kubectl, tmp_path: Path) -> None:
    """Neither a copy that was not written nor one that cannot be read passes for a copy."""
    kubectl.break_down()
    with pytest.raises(ValueError, match="cannot write the secret glossa-call-keys: it ended with status 1"):
        CallKeyCopy("config").copy("one", 1000)
    (tmp_path / "kubectl").write_text("#!/bin/sh\nexit 3\n", encoding="utf-8")
    with pytest.raises(ValueError, match="cannot read the secret glossa-call-keys: it ended with status 3"):
        CallKeyCopy("config").held()
