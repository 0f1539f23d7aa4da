"""The contract of a store of keys, run in memory and on moto's DynamoDB."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from functions.authorizer.api_keys import caller_of_key
from functions.authorizer.key_store import ApiKey, DynamoDbKeys, InMemoryKeys, KeyStore, _write, open_keys
from functions.authorizer.policy import Refused
from tests.account_in_memory import keys_table

KEY = ApiKey("0123456789abcdef", "d" * 64, "search", "key-acme", ("infer", "jobs:read"), 1_800_000_000, 1_900_000_000)


@pytest.fixture(params=["memory", "moto"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyStore]:
    """Return an empty store of one kind."""
    if request.param == "memory":
        yield InMemoryKeys()
        return
    with keys_table(monkeypatch):
        yield open_keys("keys")


def test_a_key_comes_back_as_it_was_stored(store: KeyStore) -> None:
    """Every field of a key is kept, and an unknown id is None."""
    assert store.get(KEY.id) is None
    store.add(KEY)
    assert store.get(KEY.id) == KEY
    assert store.get("f" * 16) is None


def test_an_id_is_taken_once(store: KeyStore) -> None:
    """A second key with the same id is refused, and the first one stays."""
    store.add(KEY)
    with pytest.raises(ValueError, match="which is taken"):
        store.add(replace(KEY, tenant="key-other"))
    assert store.get(KEY.id) == KEY


def test_a_revoked_key_stays_revoked(store: KeyStore) -> None:
    """The time of the first revocation is kept, and nothing else changes. An unknown id is not made."""
    store.add(KEY)
    assert store.revoke(KEY.id, 7)
    assert store.revoke(KEY.id, 9)
    assert store.get(KEY.id) == replace(KEY, revoked_s=7)
    assert not store.revoke("f" * 16, 7)
    assert store.get("f" * 16) is None


def test_all_keys_are_listed(store: KeyStore) -> None:
    """Every key is listed once."""
    keys = [replace(KEY, id=f"{number:016x}", name="n" * 100) for number in range(30)]
    for key in keys:
        store.add(key)
    assert sorted(store.all(), key=lambda key: key.id) == keys


class OneItem:
    """A client whose table holds one item, whatever is asked for."""

    def __init__(self, item: Mapping[str, Any]) -> None:
        self._item = item

    def get_item(self, **_: object) -> dict[str, Any]:
        """Return the item."""
        return {"Item": self._item}

    def scan(self, **_: object) -> dict[str, Any]:
        """Return the item."""
        return {"Items": [self._item]}


@pytest.mark.parametrize("name", ["id", "sha256", "name", "tenant", "scopes", "created_s", "expires_s", "revoked_s"])
@pytest.mark.parametrize("value", [None, {"NULL": True}, {"N": "1.5"}, {"N": "1e30"}, {"N": "9" * 30}, {"L": [{}]}])
def test_an_item_that_is_no_key_is_refused(name: str, value: object) -> None:
    """Whoever calls gets a 401, and the operator who lists keys one sentence. No traceback shows the item."""
    item = {**_write(replace(KEY, revoked_s=5)), name: value}
    if value is None and name == "revoked_s":
        return
    store = DynamoDbKeys("keys", lambda: OneItem({key: each for key, each in item.items() if each is not None}))
    with pytest.raises(ValueError, match="no key of ours, expected one that"):
        list(store.all())
    with pytest.raises(Refused) as refused:
        caller_of_key(f"glossa_{KEY.id}_{'x' * 43}", store, 0.0)
    assert refused.value.reason == "unreadable-key"
