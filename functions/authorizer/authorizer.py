"""Answers the events of an authorizer: reads the Bearer token, finds its caller, and returns what it may do.

A token that names nobody ends in the exception that API Gateway turns into a 401. Any other exception becomes a 503,
and nobody is let through. Must not know how a token is checked.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from functions.authorizer.api_keys import caller_of_key
from functions.authorizer.jwt_tokens import JwtCallers
from functions.authorizer.key_store import KeyStore
from functions.authorizer.policy import Caller, Refused, allow
from shared.log import log_event
from shared.messages import tenant_hash

KEY_PREFIX = "glossa_"
_BEARER = re.compile(r"(?i:bearer) +(?P<token>[A-Za-z0-9._~+/=-]+)")  # RFC 9110, 11.1: any case


class Unauthorized(Exception):
    """The exception whose message API Gateway answers with a 401. Every other one is a failure of ours."""

    def __init__(self) -> None:
        super().__init__("Unauthorized")


@dataclass(frozen=True)
class Authorizer:
    """Knows API keys, JWTs, or both: what is None is refused."""

    keys: KeyStore | None = None
    jwts: JwtCallers | None = None
    now_s: Callable[[], float] = time.time

    def handle_event(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one event of type TOKEN. Raises Unauthorized; what else is raised lets nobody through either."""
        try:
            caller = self._caller(str(event.get("authorizationToken") or ""))
        except Refused as refused:
            log_event("authorize", status=401, reason=refused.reason)
            raise Unauthorized from None
        log_event("authorize", status=200, tenant_hash=tenant_hash(caller.tenant))
        return allow(caller, str(event["methodArn"]))

    def _caller(self, header: str) -> Caller:
        match = _BEARER.fullmatch(header)
        if match is None:
            raise Refused("no-bearer")
        token = match["token"]
        if token.startswith(KEY_PREFIX):
            if self.keys is None:
                raise Refused("keys-not-taken")
            return caller_of_key(token, self.keys, self.now_s())
        if self.jwts is None:
            raise Refused("jwts-not-taken")
        return self.jwts.caller(token)
