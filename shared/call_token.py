r"""Signs a call of a Lambda function to a replica, and checks the signature: a short-lived token bound to one request.

The pattern is the string to sign of AWS Signature Version 4: both sides write the same canonical text, and only what
the receiver cannot see travels in the token. The algorithm is fixed to HMAC-SHA256 (RFC 2104), so the token names
none, and no caller can choose one. No JWT library is loaded: this runs for every call, the standard library has all
it needs, and a JWT would bind neither method, path nor body without fields of our own. Must not know HTTP libraries,
or where keys are kept.

    token    = glossa1.KEY_ID.AUDIENCE.TENANT.EXPIRES_S.BODY_SHA256.MAC
    MAC      = base64url(HMAC-SHA256(key, canonical))
    canonical = glossa1 \n KEY_ID \n AUDIENCE \n TENANT \n EXPIRES_S \n METHOD \n PATH?QUERY \n BODY_SHA256

A token can be sent again until it expires, but only with the same request. Such a repeat returns the same answer.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.errors import Unauthenticated, UnknownCallKey

TOKEN_HEADER = "x-glossa-token"  # noqa: S105 - the name of a header
REPLICAS = "glossa-replica"  # the audience of tokens for the model server
LIFETIME_S = 60  # a call may wait in the queue of the proxy before a replica reads its token
SKEW_S = 5  # by how much the clocks of both sides may differ
MIN_KEY_BYTES = 32  # as long as the hash (RFC 2104, section 3)
SHOWN_CHARS = 40

_VERSION = "glossa1"
_TOKEN = re.compile(
    r"glossa1\.(?P<key_id>[A-Za-z0-9_-]{1,32})\.(?P<audience>[a-z0-9-]{1,64})\.(?P<tenant>[A-Za-z0-9_-]{0,64})"
    r"\.(?P<expires_s>[1-9][0-9]{0,11})\.(?P<body_sha256>[0-9a-f]{64})\.(?P<mac>[A-Za-z0-9_-]{43})",
    re.ASCII,
)
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)
_AUDIENCE = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
_TENANT = re.compile(r"[A-Za-z0-9_-]{0,64}", re.ASCII)
_METHOD = re.compile(r"[A-Z]{1,16}", re.ASCII)
_PATH = re.compile(r"/[!-~]*", re.ASCII)  # as on the wire: visible ASCII, so no line break can move a field


@dataclass(frozen=True, slots=True)
class CallKeys:
    """The keys by their ids. `signing` is the id of the one that signs; all of them are accepted.

    Raises ValueError for keys that are not safe to use. Its text never shows a key.
    """

    signing: str
    keys: Mapping[str, bytes] = field(repr=False)

    def __post_init__(self) -> None:
        """Check ids and lengths."""
        if self.signing not in self.keys:
            known = ", ".join(sorted(map(shown_key_id, self.keys)))
            raise ValueError(f"got the signing key {shown_key_id(self.signing)}, expected one of {known}")
        for key_id, key in self.keys.items():
            if not _KEY_ID.fullmatch(key_id):
                raise ValueError(f"got the key id {shown_key_id(key_id)}, expected 1 to 32 letters, digits, - or _")
            if len(key) < MIN_KEY_BYTES:
                raise ValueError(f"got a key of {len(key)} bytes as {key_id}, expected at least {MIN_KEY_BYTES}")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a checked token speaks for. `tenant` is a tenant hash, "" for the service itself."""

    tenant: str
    body_sha256: str

    def check_body(self, data: bytes) -> None:
        """Raise Unauthenticated when `data` is not the body that was signed."""
        if not hmac.compare_digest(sha256_hex(data), self.body_sha256):
            raise Unauthenticated("got a token for another body, expected one for the body that came")


def shown_key_id(key_id: str) -> str:
    """Return an id as a message may show it. What is too long for an id may be a key in the wrong place."""
    return key_id if _KEY_ID.fullmatch(key_id) else f"of {len(key_id)} characters"


def sha256_hex(data: bytes | bytearray | memoryview[int]) -> str:
    """Return the SHA-256 of a body as the token has it."""
    return hashlib.sha256(data).hexdigest()


def sign(
    keys: CallKeys, method: str, path: str, data: bytes | memoryview[int], *, tenant: str = "",
    audience: str = REPLICAS, expires_s: int | None = None,
) -> str:  # fmt: skip
    """Return the token of one request. `path` includes the query, as on the wire.

    It expires after LIFETIME_S unless `expires_s` says when, in seconds since 1970. Raises ValueError for a field that
    the canonical text cannot hold.
    """
    expires = int(time.time()) + LIFETIME_S if expires_s is None else expires_s
    for value, pattern in ((method, _METHOD), (path, _PATH), (tenant, _TENANT), (audience, _AUDIENCE)):
        if not pattern.fullmatch(value):
            raise ValueError(f"got {value[:SHOWN_CHARS]!r} to sign, expected {pattern.pattern}")
    body_sha256 = sha256_hex(data)
    signed = _mac(keys, keys.signing, (audience, tenant, str(expires), method, path, body_sha256))
    return ".".join((_VERSION, keys.signing, audience, tenant, str(expires), body_sha256, signed))


def verify(
    keys: CallKeys, token: str, method: str, path: str, *, audience: str = REPLICAS, now_s: float | None = None
) -> Caller:
    """Return who calls. The body is checked later, by `Caller.check_body`, when it has been read.

    Raises Unauthenticated with a reason, and UnknownCallKey when the key is not among `keys`.
    """
    found = _TOKEN.fullmatch(token)
    if found is None:
        said = "no token" if not token else "a malformed token"
        raise Unauthenticated(f"got {said}, expected a signed call", hint=f"send the header {TOKEN_HEADER}")
    key_id, expires_s = found["key_id"], int(found["expires_s"])
    if key_id not in keys.keys:
        raise UnknownCallKey(f"got a token of key {key_id}, expected one of {sorted(keys.keys)}")
    if found["audience"] != audience:
        raise Unauthenticated(f"got a token for {found['audience']}, expected one for {audience}")
    signed = (found["audience"], found["tenant"], found["expires_s"], method, path, found["body_sha256"])
    if not (_METHOD.fullmatch(method) and _PATH.fullmatch(path)) or not hmac.compare_digest(
        _mac(keys, key_id, signed), found["mac"]
    ):
        raise Unauthenticated("got a token that was not made for this request, expected its method, path and tenant")
    _check_time(expires_s, time.time() if now_s is None else now_s)
    return Caller(found["tenant"], found["body_sha256"])


def _check_time(expires_s: int, now_s: float) -> None:
    """Refuse a token that has expired, or that would live for longer than any of ours does."""
    left_s = expires_s - now_s
    if left_s < -SKEW_S:
        raise Unauthenticated(f"got a token that expired {-left_s:.0f} s ago, expected a fresh one: compare the clocks")
    if left_s > LIFETIME_S + SKEW_S:
        raise Unauthenticated(f"got a token that lives for {left_s:.0f} s more, at most {LIFETIME_S}")


def _mac(keys: CallKeys, key_id: str, fields: tuple[str, ...]) -> str:
    canonical = "\n".join((_VERSION, key_id, *fields)).encode("ascii")
    return base64.urlsafe_b64encode(hmac.digest(keys.keys[key_id], canonical, "sha256")).rstrip(b"=").decode()
