"""The keys that sign calls to replicas: as JSON, as a file that is read again when it changes, and fetched for a time.

    {"signing": "k2", "keys": {"k1": "<base64 of 32 bytes or more>", "k2": "…"}}

One key signs and all are accepted, so a key can be replaced without a refused call. No message shows a key. Must not
know who signs, nor any AWS client.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Protocol

from shared.call_token import MIN_KEY_BYTES, Caller, CallKeys, shown_key_id, verify
from shared.errors import Unavailable
from shared.log import log_event
from shared.strict_json import JsonError, parse

MAX_KEYS = 8
MAX_JSON_CHARS = 16_384
OWNER_ONLY = 0o600
MAX_AGE_S = 300.0  # after this time fetched keys are fetched again
FETCH_PAUSE_S = 10.0  # between two fetches, when the first failed or brought nothing new


class KeySource(Protocol):
    """Where a signer takes its keys from."""

    def keys(self) -> CallKeys:
        """Return the keys. Raises Unavailable when there are none yet."""
        ...

    def has_other_than(self, key_id: str) -> bool:
        """Look again, because a replica does not know a key. Return whether another one signs now."""
        ...


def read_call_keys(text: str) -> CallKeys:
    """Read keys from JSON. Raises ValueError, which never shows a key, for everything else."""
    if len(text) > MAX_JSON_CHARS:
        raise ValueError(f"got call keys of {len(text)} characters, at most {MAX_JSON_CHARS}")
    try:
        value = parse(text)
    except JsonError:
        raise ValueError("got call keys that are not JSON, expected signing and keys") from None
    if not isinstance(value, dict) or set(value) != {"signing", "keys"}:
        raise ValueError("got call keys of another form, expected an object with signing and keys")
    signing, keys = value["signing"], value["keys"]
    if not isinstance(signing, str) or not isinstance(keys, dict) or not 1 <= len(keys) <= MAX_KEYS:
        raise ValueError(f"got call keys of another form, expected the id that signs, and 1 to {MAX_KEYS} keys")
    return CallKeys(signing, {key_id: _key(key_id, key) for key_id, key in keys.items()})


def write_call_keys(keys: CallKeys) -> str:
    """Return keys as JSON: what the secret, the file of a replica and the Kubernetes secret hold."""
    encoded = {key_id: base64.b64encode(key).decode() for key_id, key in keys.keys.items()}
    return json.dumps({"signing": keys.signing, "keys": encoded})


def new_key() -> bytes:
    """Return a new random key."""
    return secrets.token_bytes(MIN_KEY_BYTES)


def write_key_file(path: Path) -> None:
    """Write a new key to a file that only its owner can read, unless the file is there and can be read."""
    try:
        read_call_keys(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        fresh = path.with_name(f"{path.name}.new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ONLY), "w") as file:
            file.write(write_call_keys(CallKeys("k1", {"k1": new_key()})))
        fresh.replace(path)


class KeyFile:
    """The keys of a file. It is read again when it has changed, as when Kubernetes updates a mounted secret.

    A file that cannot be read at the start raises OSError or ValueError. Later the last good keys stay in use, and the
    log says why.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark: tuple[int, int, int] | None = self._mark_now()
        self._keys = read_call_keys(path.read_text(encoding="utf-8"))

    def keys(self) -> CallKeys:
        """Return the keys that the file has now."""
        try:
            mark = self._mark_now()
        except OSError:
            mark = None
        if mark != self._mark:
            self._mark = mark  # a broken or missing file is tried and logged once, and again when that changes
            self._read()
        return self._keys

    def has_other_than(self, key_id: str) -> bool:
        """Return whether another key signs now."""
        return self.keys().signing != key_id

    def verify(self, method: str, path: str, token: str) -> Caller:
        """Return who calls. Raises Unauthenticated."""
        return verify(self.keys(), token, method, path)

    def _read(self) -> None:
        try:
            self._keys = read_call_keys(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            reason = type(error).__name__ if isinstance(error, OSError) else str(error)
            log_event("call-keys", level="error", state="kept", reason=reason)
        else:
            log_event("call-keys", state="read", count=len(self._keys.keys))

    def _mark_now(self) -> tuple[int, int, int]:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_ino, found.st_size


class KeyCache:
    """Keys that `fetch` returns as JSON, such as from a secret. They are fetched again after MAX_AGE_S.

    When that fails, the last good keys stay in use, and the log says which error it was. Threads may share one cache.
    """

    def __init__(self, fetch: Callable[[], str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = Lock()
        self._keys: CallKeys | None = None
        self._next_s = float("-inf")  # when the keys are fetched again
        self._pause_ends_s = float("-inf")  # no fetch before, whoever asks

    def keys(self) -> CallKeys:
        """Return the keys. Raises Unavailable when they cannot be fetched and none are known."""
        with self._lock:
            if self._clock() >= self._next_s:
                self._refresh()
            if self._keys is None:
                raise Unavailable("the keys that sign calls to the model server cannot be read", retry_after_s=1.0)
            return self._keys

    def has_other_than(self, key_id: str) -> bool:
        """Fetch the keys again, at most every FETCH_PAUSE_S. Return whether another one signs now."""
        with self._lock:
            if self._keys is not None and self._keys.signing == key_id and self._clock() >= self._pause_ends_s:
                self._refresh()
            return self._keys is not None and self._keys.signing != key_id

    def prepare(self) -> None:
        """Fetch the keys now, as after a Lambda snapshot was restored. Raises nothing: the first call fetches anew."""
        with self._lock:
            self._refresh()

    def forget(self) -> None:
        """Forget the keys, so that a Lambda snapshot does not hold them."""
        with self._lock:
            self._keys, self._next_s, self._pause_ends_s = None, float("-inf"), float("-inf")

    def _refresh(self) -> None:
        try:
            self._keys = read_call_keys(self._fetch())
            wait_s = MAX_AGE_S
        except Exception as error:  # noqa: BLE001 - whatever keeps a secret from being read, the old keys are tried first
            log_event("call-keys", level="error", state="kept", error_type=type(error).__name__)
            wait_s = FETCH_PAUSE_S if self._keys is not None else 0.0
        now_s = self._clock()
        self._next_s, self._pause_ends_s = now_s + wait_s, now_s + FETCH_PAUSE_S


def _key(key_id: str, encoded: object) -> bytes:
    try:
        return base64.b64decode(encoded if isinstance(encoded, str) else "", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"got a key with the id {shown_key_id(key_id)} that is not base64, expected base64") from None
