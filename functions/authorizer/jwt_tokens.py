"""Checks a JWT of a configured issuer and reads the caller from its claims.

The issuer, the audience and the algorithm must be exactly those of the configuration; PyJWT checks signature and times.
Must not know API keys, or where an issuer's public keys come from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import jwt
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from functions.authorizer.key_sets import KeySet
from functions.authorizer.policy import Caller, Refused
from functions.authorizer.scopes import known_scopes
from functions.http.authentication import tenant_name

ALGORITHMS = ("RS256", "ES256")
MAX_TOKEN_CHARS = 8_192
MAX_CLAIM_CHARS = 256
CLOCK_SKEW_S = 30
_SHAPE = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_UNREADABLE = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)  # OverflowError: `exp` Infinity
Https = Annotated[str, Field(pattern=r"^https://[^/?#@\s]+(/[^?#\s]*)?$", max_length=500)]
ClaimName = Annotated[str, Field(min_length=1, max_length=100)]


class Issuer(BaseModel):
    """One issuer whose tokens are taken, as the operator configures it.

    `name` is the name space of its tenants. Two issuers share tenants only when they are given the same name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9]{1,16}$")]
    issuer: Https
    audience: Annotated[str, Field(min_length=1, max_length=500)]
    jwks_url: Https
    audience_claim: ClaimName = "aud"
    tenant_claim: ClaimName = "sub"
    scope_claim: ClaimName = "scope"
    scope_prefix: str = ""


class Issuers(BaseModel):
    """All issuers, each address once."""

    model_config = ConfigDict(frozen=True)

    listed: tuple[Issuer, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _from_json(cls, value: object) -> object:
        return {"listed": TypeAdapter(tuple[Issuer, ...]).validate_json(value)} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _each_once(self) -> Issuers:
        if len({each.issuer for each in self.listed}) < len(self.listed):
            raise ValueError("got an issuer twice, expected each once")
        return self


class JwtCallers:
    """The callers that tokens of these issuers name."""

    def __init__(self, issuers: Issuers, key_sets: Mapping[str, KeySet] | None = None) -> None:
        """Take issuers, and their keys by issuer; by default the keys at each issuer's own address."""
        self._issuers = {each.issuer: each for each in issuers.listed}
        self._key_sets = key_sets or {each.issuer: KeySet(each.jwks_url) for each in issuers.listed}

    def caller(self, token: str) -> Caller:
        """Return who a token names. Raises Refused with a reason, or Unavailable without the issuer's keys."""
        if len(token) > MAX_TOKEN_CHARS or not _SHAPE.fullmatch(token):
            raise Refused("no-jwt")
        header, issuer = self._unverified(token)
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS:
            raise Refused("algorithm")
        if "crit" in header or not isinstance(kid, str):
            raise Refused("header")
        key = self._key_sets[issuer.issuer].key(kid, algorithm)
        return _caller(_claims(token, key, algorithm, issuer), issuer)

    def _unverified(self, token: str) -> tuple[dict[str, Any], Issuer]:
        """Return the header and the issuer that a token claims to have. Nothing of it is believed yet."""
        try:
            header = jwt.get_unverified_header(token)
            claimed = jwt.decode(token, options={"verify_signature": False}).get("iss")
        except _UNREADABLE:
            raise Refused("no-jwt") from None
        issuer = self._issuers.get(claimed) if isinstance(claimed, str) else None
        if issuer is None:
            raise Refused("unknown-issuer")
        return header, issuer


def _claims(token: str, key: jwt.PyJWK, algorithm: str, issuer: Issuer) -> dict[str, Any]:
    """Return the claims of a token whose signature, issuer, audience and times are right. Raises Refused."""
    in_aud = issuer.audience_claim == "aud"
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            issuer=issuer.issuer,
            audience=issuer.audience if in_aud else None,
            leeway=CLOCK_SKEW_S,
            options={"require": ["exp", "iss", issuer.audience_claim], "verify_aud": in_aud},
        )
    except jwt.ExpiredSignatureError:
        raise Refused("expired") from None
    except jwt.InvalidAudienceError:
        raise Refused("audience") from None
    except jwt.InvalidSignatureError:
        raise Refused("signature") from None
    except _UNREADABLE:
        raise Refused("claims") from None
    if not in_aud and claims[issuer.audience_claim] != issuer.audience:
        raise Refused("audience")
    return claims


def _caller(claims: Mapping[str, Any], issuer: Issuer) -> Caller:
    tenant = claims.get(issuer.tenant_claim)
    if not isinstance(tenant, str) or not _is_name(tenant):
        raise Refused("tenant-claim")
    scopes = known_scopes(_without_prefix(_words(claims.get(issuer.scope_claim)), issuer.scope_prefix))
    subject = claims.get("sub")
    principal = f"jwt/{issuer.name}/{subject if isinstance(subject, str) and _is_name(subject) else tenant}"
    return Caller(principal, tenant_name(f"jwt-{issuer.name}-{tenant}"), scopes)


def _is_name(value: str) -> bool:
    return 1 <= len(value) <= MAX_CLAIM_CHARS and value.isprintable() and value == value.strip()


def _words(claim: object) -> list[str]:
    """Return the scopes of a claim: words with spaces between them, or a list of words. Anything else has none."""
    if isinstance(claim, str):
        return claim.split()
    return [each for each in claim if isinstance(each, str)] if isinstance(claim, list) else []


def _without_prefix(words: Iterable[str], prefix: str) -> list[str]:
    return [word.removeprefix(prefix) for word in words if word.startswith(prefix)]
