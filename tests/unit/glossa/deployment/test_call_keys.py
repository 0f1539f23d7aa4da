"""Checks that a rotation waits until every reader knows the keys, in any run, and that no call is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glossa.deployment.call_keys import WAIT_S, create, next_step, read_stored, rotate, rotated
from glossa.deployment.fake import FakeCluster
from shared.call_keys import MAX_AGE_S, read_call_keys, write_call_keys
from shared.call_token import LIFETIME_S, SKEW_S, CallKeys, sign, verify
from shared.errors import UnknownCallKey
from tests.unit.glossa.deployment.secret_times import age, secrets_manager

FIRST = CallKeys("k1", {"k1": b"1" * 32})
ROOT = Path(__file__).parents[4]
TOO_EARLY = "too early: not every reader knows the keys yet"


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a client of Secrets Manager with a secret `s` that holds one key."""
    with secrets_manager(monkeypatch) as client:
        client.create_secret(Name="s", SecretString=write_call_keys(FIRST))
        yield client


def pass_time(cluster: FakeCluster, seconds: float) -> None:
    """Let time pass for the secret and for the cluster."""
    age("s", seconds)
    if cluster.has is not None:
        cluster.has = type(cluster.has)(cluster.has.text, cluster.has.since_s - seconds)


def keys_of(secrets: Any) -> CallKeys:
    """Read the keys of the secret."""
    return read_call_keys(read_stored(secrets, "s").text)


def test_each_step_reaches_the_cluster_and_waits_for_the_one_before(secrets: Any) -> None:
    """Without the wait neither the step that signs nor the step that retires is taken, and nothing is written."""
    cluster = FakeCluster()
    assert rotate(secrets, "s", cluster)[0] == "add"
    for expected in ("sign", "retire"):
        before = read_stored(secrets, "s")
        for passed_s in (0, WAIT_S - 60):
            pass_time(cluster, passed_s)
            with pytest.raises(ValueError, match=TOO_EARLY):
                rotate(secrets, "s", cluster)
        assert read_stored(secrets, "s").text == before.text
        pass_time(cluster, 60)
        assert rotate(secrets, "s", cluster)[0] == expected
        assert cluster.has is not None
        assert cluster.has.text == read_stored(secrets, "s").text
    assert list(keys_of(secrets).keys) == ["k2"]
    assert rotate(secrets, "s", cluster)[0] == "add"  # a new key is only accepted, so it needs no wait


def test_a_key_that_never_reached_the_cluster_does_not_sign(secrets: Any) -> None:
    """The copy failed after the key was added. However old the key is, the wait begins when the cluster has it."""
    cluster = FakeCluster(is_broken=True)
    with pytest.raises(ValueError, match="kubectl cannot write"):
        rotate(secrets, "s", cluster)
    cluster.is_broken = False
    age("s", 86_400)
    with pytest.raises(ValueError, match=f"repeat this in {WAIT_S} s"):
        rotate(secrets, "s", cluster)
    assert cluster.has is not None
    assert cluster.has.text == read_stored(secrets, "s").text
    assert keys_of(secrets).signing == "k1"
    pass_time(cluster, WAIT_S)
    assert rotate(secrets, "s", cluster)[0] == "sign"


@pytest.mark.parametrize("spoil", ["", '{"keys": 1}', write_call_keys(CallKeys("k2", {"k2": b"2" * 32}))])
def test_another_secret_in_the_cluster_is_not_taken_for_the_keys(secrets: Any, spoil: str) -> None:
    """Another key under the same id, and a text that holds no keys, are replaced before anything signs."""
    cluster = FakeCluster()
    rotate(secrets, "s", cluster)
    assert cluster.has is not None
    cluster.has = type(cluster.has)(spoil, 1.0)
    age("s", WAIT_S)
    with pytest.raises(ValueError, match=TOO_EARLY):
        rotate(secrets, "s", cluster)
    assert cluster.has.text == read_stored(secrets, "s").text


def test_without_a_cluster_the_age_of_the_secret_counts(secrets: Any) -> None:
    """Instances fetch the secret themselves."""
    rotate(secrets, "s", None)
    with pytest.raises(ValueError, match=TOO_EARLY):
        rotate(secrets, "s", None)
    age("s", WAIT_S)
    assert rotate(secrets, "s", None)[0] == "sign"


def test_a_step_that_is_not_next_writes_nothing(secrets: Any) -> None:
    """A script that repeats a step changes nothing."""
    with pytest.raises(ValueError, match="got the step retire, expected add"):
        rotate(secrets, "s", None, "retire")
    assert rotate(secrets, "s", None, "add")[0] == "add"
    with pytest.raises(ValueError, match="got the step add, expected sign"):
        rotate(secrets, "s", None, "add")
    assert list(keys_of(secrets).keys) == ["k1", "k2"]


@pytest.mark.parametrize("text", [None, "{}"])
def test_an_empty_secret_gets_its_first_key_once(secrets: Any, text: str | None) -> None:
    """The first run writes a key that signs, and a later run leaves it."""
    secrets.create_secret(Name="new", **({} if text is None else {"SecretString": text}))
    first = create(secrets, "new").text
    assert read_call_keys(first).signing == "k1"
    assert create(secrets, "new").text == first


def test_a_secret_that_holds_something_else_is_not_thrown_away(secrets: Any) -> None:
    """What somebody wrote there stays, and the message shows none of it."""
    secrets.put_secret_value(SecretId="s", SecretString='{"keys": "precious"}')
    for change in (lambda: create(secrets, "s"), lambda: rotate(secrets, "s", None)):
        with pytest.raises(ValueError, match="got call keys of another form") as caught:
            change()
        assert "precious" not in str(caught.value)
    assert read_stored(secrets, "s").text == '{"keys": "precious"}'


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


def test_the_wait_covers_every_cache_and_the_pages_name_it() -> None:
    """A function may keep a key for its whole time and sign with it then; the token is read a lifetime later."""
    assert WAIT_S >= MAX_AGE_S + LIFETIME_S + SKEW_S
    for page in ("docs/operations/rotate-keys.md", "docs/signed-calls.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert f"{WAIT_S / 60:.0f} minutes between two steps" in text, page
        assert "call-keys rotate --environment" in text, page
