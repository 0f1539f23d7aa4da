"""Names the tenant of a request, from what API Gateway verified alone.

Two principals never share a tenant by accident. Must not know routes, bodies or tasks.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Literal

from shared.errors import Forbidden

Auth = Literal["iam", "none"]
_TENANT = re.compile(r"[a-z0-9-]{1,63}")
_PRINCIPAL = re.compile(
    r"arn:aws[a-z-]*:(?:iam|sts)::(?P<account>\d{12}):(?P<kind>user|assumed-role|federated-user|root)(?P<path>/.+)?"
)


def tenant_of(event: Mapping[str, Any], auth: Auth) -> str:
    """Return the tenant, `[a-z0-9-]{1,63}`, from what API Gateway verified; never from headers or body.

    With auth "none" it is "local". With "iam" it holds the account, and the user, role or federated user of the SigV4
    identity. A name that does not fit is cut and gets a hash, so that two principals never share a tenant. Raises
    Forbidden when there is no such identity.
    """
    if auth == "none":
        return "local"
    identity = (event.get("requestContext") or {}).get("identity") or {}
    match = _PRINCIPAL.fullmatch(str(identity.get("userArn") or ""))
    if match is None or match["account"] != identity.get("accountId"):
        raise Forbidden("got no verified IAM identity, expected a request signed with SigV4")
    parts = (match["path"] or "").split("/")
    name = parts[1] if match["kind"] == "assumed-role" and len(parts) > 1 else parts[-1]
    return _tenant_name(match["account"], match["kind"].removeprefix("assumed-"), name)


def _tenant_name(account: str, kind: str, name: str) -> str:
    plain = f"{account}-{kind}-{name}" if name else f"{account}-{kind}"
    looks_hashed = re.search(r"-[0-9a-f]{12}$", plain)
    if _TENANT.fullmatch(plain) and not looks_hashed:
        return plain
    mark = hashlib.sha256(plain.encode()).hexdigest()[:12]
    return f"{re.sub(r'[^a-z0-9-]', '-', plain.lower())[:50]}-{mark}"
