"""Tokens of calls: what was signed passes, and any change of it, of the key, the time or the audience is refused."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.call_token import LIFETIME_S, SKEW_S, Caller, CallKeys, sha256_hex, sign, verify
from shared.errors import Unauthenticated, UnknownCallKey

KEYS = CallKeys("k2", {"k1": b"1" * 32, "k2": b"2" * 32})
NOW_S = 1_800_000_000
METHOD, PATH, BODY, TENANT = "POST", "/v2/models/mini/infer?a=1", b"\x00body", "25bf8e1a2393f110"
NAMES = st.text(string.ascii_letters + string.digits + "_-", max_size=64)
PATHS = st.text("".join(map(chr, range(0x21, 0x7F))), max_size=60).map(lambda rest: f"/{rest}")
METHODS = st.sampled_from(["GET", "POST", "PUT", "HEAD"])


def token_of(keys: CallKeys = KEYS, **changed: int | str) -> str:
    """Return a token for the request above."""
    named = {"tenant": TENANT, "expires_s": NOW_S + LIFETIME_S, **changed}
    return sign(keys, METHOD, PATH, BODY, **named)  # type: ignore[arg-type] # the tests name the fields


@given(METHODS, PATHS, st.binary(max_size=200), NAMES)
def test_what_was_signed_passes(method: str, path: str, body: bytes, tenant: str) -> None:
    """The receiver learns the tenant, and that the body is the one that was signed."""
    token = sign(KEYS, method, path, body, tenant=tenant, expires_s=NOW_S + LIFETIME_S)
    caller = verify(KEYS, token, method, path, now_s=NOW_S)
    assert caller == Caller(tenant, sha256_hex(body))
    caller.check_body(body)


@given(METHODS, PATHS)
def test_a_token_is_for_one_method_and_path(method: str, path: str) -> None:
    """Another method or path, the query included, is refused."""
    if (method, path) == (METHOD, PATH):
        return
    with pytest.raises(Unauthenticated, match="not made for this request"):
        verify(KEYS, token_of(), method, path, now_s=NOW_S)


@given(st.data())
def test_any_changed_bit_of_a_token_is_refused(data: st.DataObject) -> None:
    """One changed bit of any character makes the token malformed, unknown or wrong."""
    token = token_of()
    place = data.draw(st.integers(0, len(token) - 1))
    changed = chr(ord(token[place]) ^ (1 << data.draw(st.integers(0, 7))))
    with pytest.raises(Unauthenticated):
        verify(KEYS, token[:place] + changed + token[place + 1 :], METHOD, PATH, now_s=NOW_S)


@pytest.mark.parametrize(
    ("place", "value"),
    [(3, "other"), (3, ""), (4, str(NOW_S + 1)), (5, "0" * 64), (6, "A" * 43), (1, "k1")],
)
def test_each_field_is_signed(place: int, value: str) -> None:
    """Another tenant, time, body hash, signature or key in a token is refused."""
    parts = token_of().split(".")
    with pytest.raises(Unauthenticated, match="not made for this request"):
        verify(KEYS, ".".join([*parts[:place], value, *parts[place + 1 :]]), METHOD, PATH, now_s=NOW_S)


@given(st.binary(max_size=50))
def test_another_body_is_refused(body: bytes) -> None:
    """A body with another hash is refused."""
    caller = verify(KEYS, token_of(), METHOD, PATH, now_s=NOW_S)
    if body != BODY:
        with pytest.raises(Unauthenticated, match="another body"):
            caller.check_body(body)


@given(st.binary(min_size=32, max_size=64))
def test_another_key_is_refused(key: bytes) -> None:
    """A key of the same name but other bytes does not pass."""
    if key != KEYS.keys["k2"]:
        with pytest.raises(Unauthenticated, match="not made for this request"):
            verify(KEYS, token_of(CallKeys("k2", {"k2": key})), METHOD, PATH, now_s=NOW_S)


def test_an_unknown_key_has_a_code_of_its_own() -> None:
    """The caller can then fetch its keys again."""
    with pytest.raises(UnknownCallKey, match=r"got a token of key k9, expected one of \['k1', 'k2'\]"):
        verify(KEYS, token_of(CallKeys("k9", {"k9": b"9" * 32})), METHOD, PATH, now_s=NOW_S)


def test_both_keys_are_accepted_while_one_signs() -> None:
    """A key can be replaced without a refused call: old and new tokens pass."""
    for signing in KEYS.keys:
        assert verify(KEYS, token_of(CallKeys(signing, KEYS.keys)), METHOD, PATH, now_s=NOW_S).tenant == TENANT


@pytest.mark.parametrize(
    ("now_s", "said"),
    [
        (NOW_S + LIFETIME_S + SKEW_S, None),
        (NOW_S + LIFETIME_S + SKEW_S + 1, "expired 6 s ago"),
        (NOW_S - SKEW_S, None),
        (NOW_S - SKEW_S - 1, "lives for 66 s more, at most 60"),
    ],
)
def test_the_time_of_a_token(now_s: int, said: str | None) -> None:
    """It ends after a minute, and none lives for longer. The clocks may differ by five seconds."""
    if said is None:
        verify(KEYS, token_of(), METHOD, PATH, now_s=now_s)
        return
    with pytest.raises(Unauthenticated, match=said):
        verify(KEYS, token_of(), METHOD, PATH, now_s=now_s)


def test_a_token_is_for_one_audience() -> None:
    """A token for another service is refused, and the message names both."""
    with pytest.raises(Unauthenticated, match="got a token for notify, expected one for glossa-replica"):
        verify(KEYS, token_of(audience="notify"), METHOD, PATH, now_s=NOW_S)


@given(st.text(max_size=300))
def test_whatever_is_no_token_is_refused(token: str) -> None:
    """Any other text is refused, and nothing else is raised."""
    with pytest.raises(Unauthenticated):
        verify(KEYS, token, METHOD, PATH, now_s=NOW_S)


@pytest.mark.parametrize("suffix", ["\n", " ", ".", "=", "A"])
def test_a_token_with_more_at_its_end_is_refused(suffix: str) -> None:
    """Nothing may follow a token, not even a line break."""
    with pytest.raises(Unauthenticated, match="malformed"):
        verify(KEYS, token_of() + suffix, METHOD, PATH, now_s=NOW_S)


@pytest.mark.parametrize(
    ("method", "path", "tenant"),
    [("post", "/a", ""), ("POST", "a", ""), ("POST", "/a b", ""), ("POST", "/a\n", ""), ("POST", "/é", ""),
     ("POST", "/a", "a.b"), ("POST", "/a", "x" * 65)],
)  # fmt: skip
def test_a_field_that_could_be_read_in_two_ways_is_not_signed(method: str, path: str, tenant: str) -> None:
    """Line breaks and dots would move a field into its neighbour."""
    with pytest.raises(ValueError, match="to sign, expected"):
        sign(KEYS, method, path, b"", tenant=tenant)


@pytest.mark.parametrize(
    ("signing", "keys", "said"),
    [("k3", {"k1": b"1" * 32}, "expected one of"), ("k1", {"k1": b"1" * 31}, "at least 32"),
     ("a.b", {"a.b": b"1" * 32}, "expected 1 to 32 letters"), ("", {}, "expected one of")],
)  # fmt: skip
def test_unsafe_keys_are_refused(signing: str, keys: dict[str, bytes], said: str) -> None:
    """A missing, short or badly named key is refused."""
    with pytest.raises(ValueError, match=said):
        CallKeys(signing, keys)


def test_keys_are_never_shown() -> None:
    """The text of keys has no key in it."""
    assert repr(KEYS) == "CallKeys(signing='k2')"
