"""What API Gateway does before a function: asks the authorizer of the template who calls, and lets pass what it allows.

The keys and tokens are made here: an API key and a JWT of one caller. Must not know any route.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from functions.authorizer.api_keys import new_key, tenant_of_keys
from functions.authorizer.authorizer import Authorizer, Unauthorized
from functions.authorizer.jwt_tokens import Issuers, JwtCallers
from functions.authorizer.key_sets import KeySet
from functions.authorizer.key_store import InMemoryKeys
from tests.unit.functions.authorizer.issuer import URL, claims, issuer, key_set, token

SCOPES = ("infer", "models:read", "tokens")
LIFE_S = 7200  # of the JWT: longer than all calls take
STAGE = "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/live"


class Denied(Exception):
    """The gateway answers by itself, with this status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Gateway:
    """Lets callers pass who bring `key` or `jwt` as their Bearer token, and nobody else."""

    key: str
    jwt: str
    authorizer: Authorizer

    def context(self, method: str, path: str, authorization: str) -> Mapping[str, Any]:
        """Return what the authorizer says of a caller. Raises Denied, as the gateway answers: 401 or 403."""
        if not authorization:
            raise Denied(401, "got no header Authorization, expected a Bearer token")
        event = {"type": "TOKEN", "authorizationToken": authorization, "methodArn": f"{STAGE}/{method}{path}"}
        try:
            answer = self.authorizer.handle_event(event)
        except Unauthorized:
            raise Denied(401, "got a token of nobody, expected an API key or a JWT") from None
        [statement] = answer["policyDocument"]["Statement"]
        if not any(fnmatchcase(event["methodArn"], resource) for resource in statement["Resource"]):
            raise Denied(403, "got a token without the scope of this route")
        context: Mapping[str, Any] = answer["context"]
        return context


def make_gateway() -> Gateway:
    """Make a gateway with a key and an issuer of its own."""
    now_s = int(time.time())
    made = new_key(name="conformance", tenant=tenant_of_keys("acme"), scopes=SCOPES, days=1, now_s=now_s)
    jwts = JwtCallers(Issuers(listed=(issuer(),)), {URL: KeySet(f"{URL}keys", lambda _: key_set())})
    authorizer = Authorizer(InMemoryKeys({made.stored.id: made.stored}), jwts)
    signed = token(claims(scope=" ".join(SCOPES), exp=now_s + LIFE_S))
    return Gateway(made.text, signed, authorizer)
