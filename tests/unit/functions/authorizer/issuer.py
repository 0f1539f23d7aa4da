"""An issuer of JWTs for tests: real RSA and P-256 keys, its JWK set, and tokens that are as wrong as a test wants."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from functions.authorizer.jwt_tokens import Issuer

URL = "https://issuer.example.com/"
AUDIENCE = "glossa"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def rsa_key(n_bits: int = 2_048, number: int = 0) -> rsa.RSAPrivateKey:
    """Return a key; another one for each number."""
    del number
    return rsa.generate_private_key(65_537, n_bits)


@cache
def ec_key(curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    """Return a key on a curve."""
    return ec.generate_private_key(curve())


def jwk(key: PrivateKey, kid: str, **more: Any) -> dict[str, Any]:
    """Return the public JWK of a key."""
    public = key.public_key()
    text = RSAAlgorithm.to_jwk(public) if isinstance(public, rsa.RSAPublicKey) else ECAlgorithm.to_jwk(public)
    return {name: value for name, value in json.loads(text).items() if name != "key_ops"} | {"kid": kid} | more


def key_set(*keys: Mapping[str, Any]) -> bytes:
    """Return a JWK set; by default with one key of each kind that is taken."""
    return json.dumps({"keys": list(keys) or [jwk(rsa_key(), "r1"), jwk(ec_key(), "e1")]}).encode()


def issuer(**changes: Any) -> Issuer:
    """Return a configured issuer."""
    plain = {"name": "okta", "issuer": URL, "audience": AUDIENCE, "jwks_url": f"{URL}keys", "tenant_claim": "tenant"}
    return Issuer.model_validate(plain | changes)


def claims(**changes: Any) -> dict[str, Any]:
    """Return good claims with changes; None takes a claim away."""
    now_s = int(time.time())
    plain = {"iss": URL, "aud": AUDIENCE, "exp": now_s + 600, "sub": "ada", "tenant": "acme", "scope": "infer"}
    return {name: value for name, value in (plain | changes).items() if value is not None}


def token(
    body: Mapping[str, Any] | None = None, *, key: Any = None, algorithm: str = "RS256", header: Any = None
) -> str:
    """Return a signed token; by default a good one."""
    signing = key or (ec_key() if algorithm == "ES256" else rsa_key())
    named = {"kid": "e1" if algorithm == "ES256" else "r1"} if header is None else header
    return jwt.encode(dict(body or claims()), signing, algorithm=algorithm, headers=named)


def raw_token(header: Mapping[str, Any], body: bytes, signature: bytes = b"x") -> str:
    """Return a token of these parts, whatever they are."""
    parts = (json.dumps(header).encode(), body, signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
