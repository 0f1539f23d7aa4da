"""Turns a verified caller into the answer that API Gateway expects of an authorizer: a policy and a context.

API Gateway keeps the answer for one Authorization header and uses it for all routes of the stage. So the policy names
every route that the caller may use, and no other. Must not know tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from functions.authorizer.scopes import routes_of


class Refused(Exception):
    """A token that names nobody. `reason` is a fixed word for the log, never a part of the token."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: `principal` for humans who read it, the tenant that owns the data, and the scopes."""

    principal: str
    tenant: str
    scopes: tuple[str, ...]


def allow(caller: Caller, method_arn: str) -> dict[str, Any]:
    """Return the answer for a caller. `method_arn` is that of the event: `arn:…:API/STAGE/METHOD/PATH`."""
    stage = "/".join(method_arn.split("/", 2)[:2])
    resources = [f"{stage}/{each}" for route in routes_of(caller.scopes) for each in _resources(route)]
    statement = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": resources}
    context: Mapping[str, str] = {
        "principal": caller.principal,
        "tenant": caller.tenant,
        "scopes": " ".join(caller.scopes),
    }
    return {
        "principalId": caller.principal,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": dict(context),
    }


def _resources(route: str) -> tuple[str, ...]:
    """Return a route as API Gateway names it. Who may GET may also ask for the headers alone."""
    method, path = route.split(" ")
    return (f"GET{path}", f"HEAD{path}") if method == "GET" else (f"{method}{path}",)
