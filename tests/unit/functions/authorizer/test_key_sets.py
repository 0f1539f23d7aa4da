"""Keys of issuers: which are taken, how often they are fetched, and what happens when they cannot be had."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from functions.authorizer import key_sets
from functions.authorizer.key_sets import KeySet, fetch, get, read_keys
from functions.authorizer.policy import Refused
from functions.replica.fake import SentRequest
from functions.replica.transport import Reply
from shared.errors import Unavailable
from tests.loopback import serving
from tests.unit.functions.authorizer.issuer import ec_key, jwk, key_set, rsa_key


class World:
    """A clock, and an issuer that answers what a test puts into it."""

    def __init__(self) -> None:
        self.now_s, self.n_fetches = 1_000.0, 0
        self.answer: Callable[[], bytes] = key_set
        self.keys = KeySet("https://issuer.example.com/keys", self.fetch, lambda: self.now_s)

    def fetch(self, _: str) -> bytes:
        """Count a fetch and answer it."""
        self.n_fetches += 1
        return self.answer()

    def fail(self) -> bytes:
        """Answer as an issuer that cannot be reached."""
        raise Unavailable("no answer")


def test_keys_are_fetched_once_and_kept() -> None:
    """Until they are ten minutes old, keys are not fetched again. Then one fetch renews them."""
    world = World()
    for _ in range(5):
        assert world.keys.key("r1", "RS256").key_id == "r1"
        assert world.keys.key("e1", "ES256").key_id == "e1"
    assert world.n_fetches == 1
    world.now_s += key_sets.MAX_AGE_S + 1
    world.keys.key("r1", "RS256")
    assert world.n_fetches == 2


def test_a_storm_of_unknown_ids_fetches_once_in_half_a_minute() -> None:
    """Each unknown id is refused, and the issuer is asked at most once in 30 s."""
    world = World()
    for number in range(1_000):
        with pytest.raises(Refused, match="unknown-signing-key"):
            world.keys.key(f"made-up-{number}", "RS256")
        world.now_s += 0.05
    assert world.n_fetches <= 1 + 1_000 * 0.05 / key_sets.MIN_BETWEEN_FETCHES_S


def test_a_new_key_is_found_and_a_withdrawn_one_is_refused() -> None:
    """A key that the issuer adds works after at most 30 s, one that it takes away stops after ten minutes."""
    world = World()
    world.keys.key("r1", "RS256")
    world.answer = lambda: key_set(jwk(rsa_key(number=1), "r2"))
    world.now_s += key_sets.MIN_BETWEEN_FETCHES_S
    assert world.keys.key("r2", "RS256").key_id == "r2"
    with pytest.raises(Refused):
        world.keys.key("r1", "RS256")


def test_kept_keys_bridge_an_outage_of_the_issuer() -> None:
    """While the issuer is away its keys are used for an hour. Then callers are told to come back, not refused."""
    world = World()
    world.keys.key("r1", "RS256")
    world.answer = world.fail
    world.now_s += key_sets.MAX_STALE_S
    assert world.keys.key("r1", "RS256").key_id == "r1"
    world.now_s += 1
    with pytest.raises(Unavailable):
        world.keys.key("r1", "RS256")
    world.answer = key_set
    world.now_s += key_sets.MIN_BETWEEN_FETCHES_S
    assert world.keys.key("r1", "RS256").key_id == "r1"


def test_without_keys_nobody_is_refused_for_good() -> None:
    """Before the first keys arrive a token is neither good nor bad."""
    world = World()
    world.answer = world.fail
    for _ in range(3):
        with pytest.raises(Unavailable):
            world.keys.key("r1", "RS256")
    assert world.n_fetches == 1


def test_only_strong_signing_keys_are_taken() -> None:
    """Small RSA keys, other curves, symmetric keys, keys for encryption and broken ones are left out."""
    good = jwk(rsa_key(), "good", use="sig", alg="RS256")
    bad = [
        jwk(rsa_key(1_024), "small"),
        jwk(ec_key(ec.SECP384R1), "curve"),
        jwk(rsa_key(), "enc", use="enc"),
        jwk(rsa_key(), "other-alg", alg="PS256"),
        jwk(rsa_key(), "no-kid") | {"kid": 7},
        {"kty": "oct", "kid": "secret", "k": "AAAA"},
        {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
        {"kty": "RSA", "kid": "empty"},
        {"kty": "EC", "kid": "off-curve", "crv": "P-256", "x": "AA", "y": "AA"},
        "no object",
        None,
    ]
    read = read_keys(json.dumps({"keys": [*bad, good, jwk(rsa_key(number=1), "good")]}).encode())
    assert list(read) == [("good", "RS256")]
    assert read["good", "RS256"].key.public_numbers() == rsa_key().public_key().public_numbers()


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"keys": {}}', b"[" * 100_000, json.dumps({"keys": [{}] * 101}).encode()],
)
def test_what_is_no_key_set_changes_nothing(body: bytes) -> None:
    """Kept keys stay when the issuer answers something else."""
    world = World()
    world.keys.key("r1", "RS256")
    world.answer = lambda: body
    world.now_s += key_sets.MAX_AGE_S + 1
    assert world.keys.key("r1", "RS256").key_id == "r1"
    assert world.n_fetches == 2


def test_keys_come_over_https_alone() -> None:
    """An http address is refused before a connection is opened. An https one without a known certificate is, too."""
    seen: list[SentRequest] = []

    def answer(sent: SentRequest) -> Reply:
        seen.append(sent)
        return Reply(200, {}, key_set())

    with serving(answer) as (address, _):
        for url in (address, address.replace("http:", "https:"), "file:///etc/passwd"):
            with pytest.raises(Unavailable):
                fetch(url)
    assert not seen


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(302, {"location": "/elsewhere"}), "answered 302"),
        (Reply(404, {}, key_set()), "answered 404"),
        (Reply(500), "answered 500"),
        (Reply(200, {}, b"x" * (key_sets.MAX_BYTES + 1)), "got over 262144 bytes"),
        (Reply(200, {"content-length": "9", "connection": "close"}, b"x"), "cannot be fetched"),
    ],
)
def test_an_answer_that_is_no_key_set_is_given_up(reply: Reply, said: str) -> None:
    """Redirects are not followed. Errors, too many bytes and half an answer are no keys."""
    seen: list[str] = []

    def answer(sent: SentRequest) -> Reply:
        seen.append(sent.path)
        return reply

    with serving(answer) as (address, _), pytest.raises(Unavailable, match=said):
        get(f"{address}/keys")
    assert seen == ["/keys"]


def test_keys_are_read_whole_within_their_time() -> None:
    """A good answer is returned as it came. An issuer that is silent is given up."""
    may_answer = threading.Event()

    def answer(sent: SentRequest) -> Reply:
        if sent.path == "/silent":
            may_answer.wait(10)
        return Reply(200, {}, key_set())

    with serving(answer) as (address, _):
        assert get(f"{address}/keys") == key_set()
        with pytest.raises(Unavailable, match="did not come within"):
            get(f"{address}/silent", 0.05)
        may_answer.set()
