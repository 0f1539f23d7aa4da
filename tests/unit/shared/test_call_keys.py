"""Keys of calls: their JSON, a file that is read again, and keys that are fetched for a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.replica.fake import FakeClock
from shared.call_keys import (
    FETCH_PAUSE_S,
    MAX_AGE_S,
    KeyCache,
    KeyFile,
    new_key,
    read_call_keys,
    write_call_keys,
    write_key_file,
)
from shared.call_token import CallKeys, sign
from shared.errors import Unauthenticated, Unavailable, UnknownCallKey

OLD = CallKeys("k1", {"k1": b"1" * 32})
BOTH = CallKeys("k2", {"k1": b"1" * 32, "k2": b"2" * 32})


@given(st.dictionaries(st.from_regex(r"\A[A-Za-z0-9_-]{1,32}\Z"), st.binary(min_size=32), min_size=1, max_size=8))
def test_what_is_written_is_read(keys: dict[str, bytes]) -> None:
    """JSON and back gives the same keys."""
    written = CallKeys(next(iter(keys)), keys)
    assert read_call_keys(write_call_keys(written)) == written


GOOD = json.loads(write_call_keys(OLD))


@pytest.mark.parametrize(
    "value",
    [
        "", "[]", "null", "{", '{"signing": "k1"}', json.dumps({**GOOD, "more": 1}), json.dumps({**GOOD, "keys": {}}),
        json.dumps({**GOOD, "signing": 1}), json.dumps({**GOOD, "keys": {"k1": "not base64!"}}),
        json.dumps({**GOOD, "keys": {"k1": 7}}), json.dumps({**GOOD, "keys": {"k1": "c2hvcnQ="}}),
        json.dumps({**GOOD, "keys": {f"k{i}": GOOD["keys"]["k1"] for i in range(9)}}),
        '{"signing": "k1", "signing": "k1", "keys": {}}', " " * 20_000,
    ],
)  # fmt: skip
def test_other_json_is_refused(value: str) -> None:
    """Whatever is no key set is refused, and the message shows no key."""
    with pytest.raises(ValueError, match="got") as caught:
        read_call_keys(value)
    assert GOOD["keys"]["k1"] not in str(caught.value)


def test_a_new_key_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """It has mode 0600. A file that is there keeps its keys; a broken one is replaced."""
    path = tmp_path / "keys.json"
    write_key_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    first = path.read_bytes()
    write_key_file(path)
    assert path.read_bytes() == first
    path.write_text("broken")
    write_key_file(path)
    assert read_call_keys(path.read_text()).signing == "k1"
    assert path.stat().st_mode & 0o777 == 0o600
    assert new_key() != new_key()


def _write(path: Path, text: str) -> None:
    """Replace a file, as Kubernetes does when a secret has changed."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def test_a_file_is_read_again_when_it_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A new key is known at once, and a retired one refused. A broken file leaves the last good keys in use."""
    path = tmp_path / "keys.json"
    _write(path, write_call_keys(OLD))
    file = KeyFile(path)
    token = sign(BOTH, "GET", "/v2", b"", tenant="t")
    with pytest.raises(UnknownCallKey):
        file.verify("GET", "/v2", token)
    _write(path, write_call_keys(BOTH))
    found = file.verify("GET", "/v2", token)
    assert found.tenant == "t"
    for broken in ("broken", None):
        if broken is None:
            path.unlink()
        else:
            _write(path, broken)
        assert file.verify("GET", "/v2", token) == found
    assert capsys.readouterr().out.count('"state": "kept"') == 2
    _write(path, write_call_keys(OLD))
    with pytest.raises(Unauthenticated):
        file.verify("GET", "/v2", token)
    assert file.has_other_than("k2")
    assert not file.has_other_than("k1")


@pytest.mark.parametrize("text", [None, "broken"])
def test_a_server_does_not_start_without_keys(tmp_path: Path, text: str | None) -> None:
    """A key file that is missing or broken at the start is an error."""
    if text is not None:
        (tmp_path / "keys.json").write_text(text)
    with pytest.raises((OSError, ValueError)):
        KeyFile(tmp_path / "keys.json")


class Secret:
    """A secret whose answers are given one after the other; an exception is raised. `n_reads` counts the fetches."""

    def __init__(self, *answers: CallKeys | Exception) -> None:
        self._answers: Iterator[CallKeys | Exception] = iter(answers)
        self.n_reads = 0

    def __call__(self) -> str:
        """Return the next answer."""
        self.n_reads += 1
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return write_call_keys(answer)


def test_fetched_keys_are_kept_for_five_minutes() -> None:
    """They are fetched at the first call, and again when they are too old."""
    clock, secret = FakeClock(), Secret(OLD, BOTH)
    cache = KeyCache(secret, clock=clock)
    assert secret.n_reads == 0
    assert [cache.keys() for _ in range(3)] == [OLD] * 3
    clock.now_s += MAX_AGE_S - 1
    assert (cache.keys(), secret.n_reads) == (OLD, 1)
    clock.now_s += 1
    assert (cache.keys(), secret.n_reads) == (BOTH, 2)


def test_old_keys_stay_in_use_while_the_secret_cannot_be_read() -> None:
    """A failed fetch is tried again after a pause. Without any keys each call tries, and says so."""
    clock, secret = FakeClock(), Secret(OSError("planted"), OLD, OSError("planted"), BOTH)
    cache = KeyCache(secret, clock=clock)
    with pytest.raises(Unavailable, match="cannot be read"):
        cache.keys()
    assert cache.keys() == OLD
    clock.now_s += MAX_AGE_S
    assert [cache.keys() for _ in range(3)] == [OLD] * 3
    clock.now_s += FETCH_PAUSE_S
    assert (cache.keys(), secret.n_reads) == (BOTH, 4)


def test_keys_are_fetched_again_for_a_replica_that_does_not_know_one() -> None:
    """Once in a while only: a secret that has nothing new is not asked again and again."""
    clock, secret = FakeClock(), Secret(OLD, OLD, BOTH)
    cache = KeyCache(secret, clock=clock)
    cache.keys()
    assert not cache.has_other_than("k1")  # just fetched
    clock.now_s += FETCH_PAUSE_S
    assert not cache.has_other_than("k1")
    assert (cache.has_other_than("k1"), secret.n_reads) == (False, 2)
    clock.now_s += FETCH_PAUSE_S
    assert (cache.has_other_than("k1"), cache.keys(), secret.n_reads) == (True, BOTH, 3)


def test_a_snapshot_holds_no_keys() -> None:
    """Forgotten keys are fetched again, at the restore or at the next call. A failing restore raises nothing."""
    secret = Secret(OLD, OSError("planted"), BOTH)
    cache = KeyCache(secret)
    cache.keys()
    cache.forget()
    cache.prepare()
    assert cache.keys() == BOTH


def test_a_missing_file_is_logged_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is gone would otherwise add a line of log to every call."""
    path = tmp_path / "keys.json"
    _write(path, write_call_keys(OLD))
    file = KeyFile(path)
    path.unlink()
    for _ in range(3):
        assert file.keys() == OLD
    assert capsys.readouterr().out.count('"state": "kept"') == 1
    _write(path, write_call_keys(BOTH))
    assert file.keys() == BOTH


@pytest.mark.parametrize(
    "form", ['{"signing": "k1", "keys": {"KEY": "k1"}}', '{"signing": "KEY", "keys": {"k1": "KEY"}}']
)
def test_a_key_in_the_place_of_an_id_is_not_shown(form: str) -> None:
    """Whoever swaps ids and keys does not find a key in the log."""
    text = json.loads(write_call_keys(OLD))["keys"]["k1"]
    with pytest.raises(ValueError, match="of 44 characters") as refused:
        read_call_keys(form.replace("KEY", text))
    assert text[:8] not in str(refused.value)
