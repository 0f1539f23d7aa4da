"""Makes API keys and checks them. A key is `glossa_`, an id of 16 hex digits, and a secret of 256 random bits.

Only the SHA-256 of a key is stored. A slow hash would add nothing, because nobody can guess 256 random bits. Must not
know where keys are stored.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from functions.authorizer.key_store import ApiKey, KeyStore
from functions.authorizer.policy import Caller, Refused
from functions.authorizer.scopes import known_scopes
from functions.http.authentication import tenant_name
from shared.error_text import shown
from shared.errors import Unprocessable

KEY = re.compile(r"glossa_(?P<id>[0-9a-f]{16})_[A-Za-z0-9_-]{43}")
KEY_ID = re.compile(r"[0-9a-f]{16}")
TENANT = re.compile(r"[a-z0-9-]{1,63}")
SECRET_BYTES = 32
DAY_S = 86_400
MAX_DAYS = 3_650
MAX_TENANT_CHARS = 256
_NO_DIGEST = "0" * 64


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key as it is made: the text that its owner gets once, and what is stored of it."""

    text: str
    stored: ApiKey


def new_key(*, name: str, tenant: str, scopes: Sequence[str], days: int, now_s: int) -> NewKey:
    """Make a key. `tenant` is the whole name, as from `tenant_of_keys`. Raises Unprocessable for what does not fit."""
    if not scopes or (unknown := sorted(set(scopes) - set(known_scopes(scopes)))):
        found = shown(unknown[0]) if scopes else "none"
        raise Unprocessable(f"got the scope {found}, expected some of those in docs/authentication.md")
    if not TENANT.fullmatch(tenant):
        raise Unprocessable(f"got tenant {shown(tenant)}, expected {TENANT.pattern}")
    if not 1 <= days <= MAX_DAYS:
        raise Unprocessable(f"got {days} days, expected 1 to {MAX_DAYS}")
    key_id = secrets.token_hex(8)
    text = f"glossa_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
    stored = ApiKey(
        id=key_id,
        sha256=_digest(text),
        name=name,
        tenant=tenant,
        scopes=known_scopes(scopes),
        created_s=now_s,
        expires_s=now_s + days * DAY_S,
    )
    return NewKey(text, stored)


def tenant_of_keys(name: str) -> str:
    """Return the tenant of all keys made with this tenant's name. No IAM identity and no JWT has such a tenant.

    Raises Unprocessable for a name that is empty, too long or not printable, such as a shell variable that is not set.
    """
    if not 1 <= len(name) <= MAX_TENANT_CHARS or not name.isprintable() or name != name.strip():
        wanted = f"1 to {MAX_TENANT_CHARS} printable characters without spaces around them"
        raise Unprocessable(f"got the tenant's name {shown(name)}, expected {wanted}")
    return tenant_name(f"key-{name}")


def caller_of_key(token: str, store: KeyStore, now_s: float) -> Caller:
    """Return whose key this is. Raises Refused for an unknown, revoked or expired key."""
    match = KEY.fullmatch(token)
    if match is None:
        raise Refused("no-key")
    try:
        found = store.get(match["id"])
    except ValueError:  # somebody else wrote this item
        raise Refused("unreadable-key") from None
    # A key that does not exist is compared too, so that both answers take the same time.
    same = hmac.compare_digest(_digest(token).encode(), (found.sha256 if found else _NO_DIGEST).encode())
    if found is None or not same:
        raise Refused("unknown-key")
    if found.revoked_s is not None:
        raise Refused("revoked-key")
    if found.expires_s <= now_s:
        raise Refused("expired-key")
    if not TENANT.fullmatch(found.tenant):
        raise Refused("key-without-tenant")
    return Caller(f"key/{found.id}", found.tenant, known_scopes(found.scopes))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
