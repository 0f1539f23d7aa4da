"""The authorizer: an event of API Gateway in, a policy out, and one exception for everyone who is nobody."""

from __future__ import annotations

import json
from typing import Any

import pytest

from functions.authorizer.api_keys import new_key, tenant_of_keys
from functions.authorizer.authorizer import Authorizer, Unauthorized
from functions.authorizer.jwt_tokens import Issuers, JwtCallers
from functions.authorizer.key_sets import KeySet
from functions.authorizer.key_store import InMemoryKeys
from shared.errors import Unavailable
from tests.unit.functions.authorizer.issuer import URL, claims, issuer, key_set, token

ARN = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3/live/GET/v1/models"
NOW_S = 1_800_000_000
MADE = new_key(name="search", tenant=tenant_of_keys("acme"), scopes=["models:read"], days=1, now_s=NOW_S)
KEYS = InMemoryKeys({MADE.stored.id: MADE.stored})


def jwts(body: bytes | None = None) -> JwtCallers:
    """Return callers of one issuer, which answers this."""
    key_sets = {URL: KeySet("https://issuer.example.com/keys", lambda _: key_set() if body is None else body)}
    return JwtCallers(Issuers(listed=(issuer(),)), key_sets)


BOTH = Authorizer(KEYS, jwts(), lambda: NOW_S)


def event(header: str | None) -> dict[str, Any]:
    """Return an event as API Gateway sends it."""
    return {"type": "TOKEN", "authorizationToken": header, "methodArn": ARN}


def tenant(answer: dict[str, Any]) -> str:
    """Return the tenant of an answer."""
    found: str = answer["context"]["tenant"]
    return found


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   "])
def test_keys_and_tokens_are_told_apart(scheme: str) -> None:
    """A key and a JWT come in the same header, and each names its own tenant."""
    assert tenant(BOTH.handle_event(event(scheme + MADE.text))) == "key-acme"
    assert tenant(BOTH.handle_event(event(scheme + token()))) == "jwt-okta-acme"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        MADE.text,
        f"Bearer {MADE.text} x",
        f"Bearer {MADE.text}\n",
        "AWS4-HMAC",
    ],
    ids=lambda header: str(header).replace(MADE.text, "KEY"),
)
def test_a_header_without_a_bearer_token_is_refused(header: str | None) -> None:
    """Other schemes, no scheme, and more than one word name nobody."""
    with pytest.raises(Unauthorized, match=r"^Unauthorized$"):
        BOTH.handle_event(event(header))


def test_only_the_configured_kind_is_taken() -> None:
    """A stack for keys takes no JWT, and a stack for JWTs takes no key."""
    for only, other in (
        (Authorizer(keys=KEYS), token()),
        (Authorizer(jwts=jwts()), MADE.text),
        (Authorizer(), token()),
    ):
        with pytest.raises(Unauthorized):
            only.handle_event(event(f"Bearer {other}"))


def test_a_revoked_key_is_refused_at_the_next_look() -> None:
    """The authorizer keeps no keys, so only the gateway's own memory delays a revocation."""
    keys = InMemoryKeys({MADE.stored.id: MADE.stored})
    authorizer = Authorizer(keys, now_s=lambda: NOW_S)
    assert tenant(authorizer.handle_event(event(f"Bearer {MADE.text}"))) == "key-acme"
    keys.revoke(MADE.stored.id, NOW_S)
    with pytest.raises(Unauthorized):
        authorizer.handle_event(event(f"Bearer {MADE.text}"))


def test_a_failure_of_ours_is_no_refusal() -> None:
    """Without the issuer's keys the exception is another one, which becomes a 503 and lets nobody through."""
    with pytest.raises(Unavailable):
        Authorizer(jwts=jwts(b"<html>")).handle_event(event(f"Bearer {token()}"))


def test_no_token_and_no_claim_reaches_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """A line says what was decided. It holds no part of a token, no claim and no name of a tenant."""
    good, bad = token(claims(sub="ada@example.com")), token(claims(aud="wrong", sub="ada@example.com"))
    BOTH.handle_event(event(f"Bearer {good}"))
    BOTH.handle_event(event(f"Bearer {MADE.text}"))
    for text in (bad, MADE.text[:-1] + "!", MADE.text[:-1] + ("A" if MADE.text[-1] != "A" else "E")):
        with pytest.raises(Unauthorized):
            BOTH.handle_event(event(f"Bearer {text}"))
    said = capsys.readouterr().out
    lines = [json.loads(line) for line in said.splitlines()]
    assert [line["status"] for line in lines] == [200, 200, 401, 401, 401]
    assert [line.get("reason") for line in lines] == [None, None, "audience", "no-bearer", "unknown-key"]
    secrets = [good, bad, MADE.text, MADE.text[-20:], good.split(".")[2], "ada@example.com", "acme"]
    assert not [secret for secret in secrets if secret in said]
