"""Names the tenant of a request, and what it may ask for, from what API Gateway verified alone.

Two principals never share a tenant by accident. docs/authentication.md has the rule in words. Must not know routes,
bodies or tasks.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from shared.error_text import visible
from shared.errors import Forbidden

AuthKind = Literal["iam", "bearer", "none"]
EVERY_ROLE = "*"
EVERY_TASK = "infer"
_TENANT = re.compile(r"[a-z0-9-]{1,63}")
_PRINCIPAL = re.compile(
    r"arn:aws[a-z-]*:(?:iam|sts)::(?P<account>\d{12}):(?P<kind>user|assumed-role|federated-user|root)(?P<path>/.+)?"
)
_COGNITO_IDENTITY = re.compile(r"[a-z0-9-]+:[0-9a-f-]{36}")
_COGNITO_SESSION = "CognitoIdentityCredentials"  # the session name of every user of an identity pool


@dataclass(frozen=True, slots=True)
class Auth:
    """How callers are known: `iam` by SigV4, `bearer` by our authorizer, `none` not at all.

    All sessions of a role in `roles_as_tenants` are one tenant; `*` stands for every role.
    """

    kind: AuthKind
    roles_as_tenants: frozenset[str] = frozenset()


OPEN = Auth("none")


def tenant_of(event: Mapping[str, Any], auth: Auth) -> str:
    """Return the tenant, `[a-z0-9-]{1,63}`, from what API Gateway verified; never from headers or body.

    With "none" it is "local". With "bearer" it is what the authorizer named. With "iam" it holds the account, and the
    user, role session or Cognito identity that signed. Raises Forbidden when nobody was verified.
    """
    if auth.kind == "none":
        return "local"
    if auth.kind == "bearer":
        return _verified(event)["tenant"]
    return _iam_tenant((event.get("requestContext") or {}).get("identity") or {}, auth.roles_as_tenants)


def check_task(event: Mapping[str, Any], auth: Auth, task: str) -> None:
    """Raise Forbidden when the caller's scopes do not cover a task. API Gateway cannot see the task of a batch job."""
    if auth.kind == "bearer" and not {EVERY_TASK, task_scope(task)} & set(_verified(event)["scopes"].split()):
        wanted = f"{EVERY_TASK} or {task_scope(visible(task))}"
        raise Forbidden(f"got a token without the scope {wanted}, expected one of them", hint="ask for a token with it")


def task_scope(task: str) -> str:
    """Return the scope that covers one task."""
    return f"tasks:{task}"


def tenant_name(plain: str) -> str:
    """Return a tenant for any name: the name itself if it fits, else its beginning and 32 digits of its hash.

    A name that looks as if it had such a hash gets one too, so that two names never give one tenant.
    """
    if _TENANT.fullmatch(plain) and not re.search(r"-[0-9a-f]{32}$", plain):
        return plain
    return _marked(plain, 32)


def _verified(event: Mapping[str, Any]) -> Mapping[str, str]:
    """Return what our authorizer said of the caller. Raises Forbidden for a request that did not come through it."""
    found = (event.get("requestContext") or {}).get("authorizer") or {}
    names = ("tenant", "principal", "scopes")
    said = {name: found[name] for name in names if isinstance(found.get(name), str)}
    if len(said) < len(names) or not _TENANT.fullmatch(said["tenant"]):
        raise Forbidden("got no verified caller, expected a request that passed the authorizer of the API")
    return said


def _iam_tenant(identity: Mapping[str, Any], roles_as_tenants: frozenset[str]) -> str:
    match = _PRINCIPAL.fullmatch(str(identity.get("userArn") or ""))
    if match is None or match["account"] != identity.get("accountId"):
        raise Forbidden("got no verified IAM identity, expected a request signed with SigV4")
    account, kind, parts = match["account"], match["kind"], (match["path"] or "").split("/")
    if kind != "assumed-role":
        return _account_tenant(account, kind, parts[-1])
    if identity.get("cognitoIdentityId") or parts[-1] == _COGNITO_SESSION:
        return _cognito_tenant(account, str(identity.get("cognitoIdentityId") or ""))
    if len(parts) != len(("", "role", "session")):
        raise Forbidden("got a role without the name of its session, expected both")
    _, role, session = parts
    if {role, EVERY_ROLE} & roles_as_tenants:
        return _account_tenant(account, "role", role)
    return tenant_name(f"{account}-session-{role}/{session}")


def _cognito_tenant(account: str, identity: str) -> str:
    if not _COGNITO_IDENTITY.fullmatch(identity):
        raise Forbidden("got a session of Cognito without its identity, expected one: all users share that session")
    return tenant_name(f"{account}-cognito-{identity}")


def _account_tenant(account: str, kind: str, name: str) -> str:
    """Return the tenant of a user, a federated user, a whole role or root. Its stored form must stay as it is."""
    plain = f"{account}-{kind}-{name}" if name else f"{account}-{kind}"
    looks_hashed = re.search(r"-[0-9a-f]{12}$", plain)
    return plain if _TENANT.fullmatch(plain) and not looks_hashed else _marked(plain, 12)


def _marked(plain: str, n_digits: int) -> str:
    mark = hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:n_digits]
    return f"{re.sub(r'[^a-z0-9-]', '-', plain.lower())[: 62 - n_digits]}-{mark}"
