"""The public keys of one issuer: fetched over https, kept, and fetched again when they are old or one is missing.

Only RSA keys of at least 2,048 bits and keys on the curve P-256 are taken. Fetches are limited in rate, time and size,
so that a storm of tokens with made-up key ids reaches the issuer once in 30 s. Must not know claims or tenants.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import urllib3
from jwt import PyJWK, PyJWTError

from functions.authorizer.policy import Refused
from shared.errors import Unavailable
from shared.log import log_event

MAX_AGE_S = 600.0  # a key that its issuer withdraws is refused after this time
MAX_STALE_S = 3_600.0  # how long the kept keys are used while the issuer cannot be reached
MIN_BETWEEN_FETCHES_S = 30.0
FETCH_S = 3.0
SOCKET_S = 2.0
MAX_BYTES = 256 * 1024
MAX_KEYS = 100
RSA_BITS = (2_048, 8_192)
OK = 200
Fetch = Callable[[str], bytes]


def fetch(url: str) -> bytes:
    """Return what an https address answers. Raises Unavailable for any other address, and as `get`."""
    if not url.startswith("https://"):
        raise Unavailable(f"got {url}, expected an https address")
    return get(url)


def get(url: str, limit_s: float = FETCH_S) -> bytes:
    """Return the body at an address. Raises Unavailable without one, past `limit_s` and past 256 KiB.

    Follows no redirect, so the keys come from the configured address alone. The time is that of the whole exchange:
    a time-out of a socket would begin anew with each byte.
    """
    found: list[bytes | Unavailable] = []
    thread = threading.Thread(target=lambda: found.append(_answer(url)), daemon=True)
    thread.start()
    thread.join(limit_s)
    answer = found[0] if found else Unavailable(f"the issuer's keys did not come within {limit_s} s")
    if isinstance(answer, Unavailable):
        raise answer
    return answer


def _answer(url: str) -> bytes | Unavailable:
    """Return the body at an address, or why there is none."""
    pool = urllib3.PoolManager(retries=False, timeout=SOCKET_S)
    try:
        response = pool.request("GET", url, redirect=False, preload_content=False, decode_content=False)
        if response.status != OK:
            return Unavailable(f"the issuer's keys answered {response.status}, expected {OK}")
        body = b""
        while len(body) <= MAX_BYTES and (chunk := response.read(65_536)):
            body += chunk
    except urllib3.exceptions.HTTPError as error:
        return Unavailable(f"the issuer's keys cannot be fetched: {type(error).__name__}")
    finally:
        pool.clear()
    return body if len(body) <= MAX_BYTES else Unavailable(f"got over {MAX_BYTES} bytes of keys, at most {MAX_BYTES}")


class KeySet:
    """The keys at one address. `now_s` is a clock that never goes back."""

    def __init__(self, url: str, fetch: Fetch = fetch, now_s: Callable[[], float] = time.monotonic) -> None:
        self._url, self._fetch, self._now_s = url, fetch, now_s
        self._keys: Mapping[tuple[str, str], PyJWK] = {}
        self._fetched_s = self._tried_s = float("-inf")

    def key(self, kid: str, algorithm: str) -> PyJWK:
        """Return the key of this id for RS256 or ES256. Raises Refused, or Unavailable when no keys can be had."""
        if (kid, algorithm) not in self._keys or self._now_s() - self._fetched_s > MAX_AGE_S:
            self._refresh()
        if self._now_s() - self._fetched_s > MAX_STALE_S:
            raise Unavailable("the keys of the issuer cannot be had", retry_after_s=MIN_BETWEEN_FETCHES_S)
        if (kid, algorithm) not in self._keys:
            raise Refused("unknown-signing-key")
        return self._keys[kid, algorithm]

    def _refresh(self) -> None:
        """Fetch the keys, unless that was tried a moment ago. A failure is logged, and the old keys stay."""
        now_s = self._now_s()
        if now_s - self._tried_s < MIN_BETWEEN_FETCHES_S:
            return
        self._tried_s = now_s
        try:
            self._keys = read_keys(self._fetch(self._url))
        except Unavailable as error:
            log_event("issuer_keys", level="error", code=error.code, reason=error.message)
        else:
            self._fetched_s = now_s


def read_keys(body: bytes) -> dict[tuple[str, str], PyJWK]:
    """Return the usable keys of a JWK set by id and algorithm. Raises Unavailable when it is no such set."""
    try:
        listed = json.loads(body)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Unavailable("got no JSON object with keys from the issuer, expected a JWK set") from None
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise Unavailable(f"got no list of at most {MAX_KEYS} keys from the issuer, expected a JWK set")
    found: dict[tuple[str, str], PyJWK] = {}
    for raw in listed:
        algorithm = _algorithm(raw) if isinstance(raw, dict) else None
        key = _read(raw, algorithm) if algorithm else None
        if algorithm and key is not None:
            found.setdefault((raw["kid"], algorithm), key)
    return found


def _algorithm(raw: Mapping[str, Any]) -> str | None:
    """Return the one algorithm that a key may be used with, or None when we take no such key."""
    algorithm = {"RSA": "RS256", "EC": "ES256"}.get(str(raw.get("kty")))
    fits = raw.get("use", "sig") == "sig" and raw.get("alg", algorithm) == algorithm and isinstance(raw.get("kid"), str)
    return algorithm if fits and (algorithm != "ES256" or raw.get("crv") == "P-256") else None


def _read(raw: Mapping[str, Any], algorithm: str) -> PyJWK | None:
    public = {name: raw[name] for name in ("kty", "kid", "n", "e", "crv", "x", "y") if name in raw}
    try:
        key = PyJWK(public, algorithm)
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
    low, high = RSA_BITS
    return key if algorithm == "ES256" or low <= key.key.key_size <= high else None
