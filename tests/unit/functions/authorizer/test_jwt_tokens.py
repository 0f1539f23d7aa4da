"""JWTs: exactly the configured issuers, audiences and algorithms, and a tenant that is never shared by accident."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import ValidationError

from functions.authorizer.jwt_tokens import Issuer, Issuers, JwtCallers
from functions.authorizer.key_sets import KeySet
from functions.authorizer.policy import Refused
from tests.unit.functions.authorizer.issuer import (
    AUDIENCE,
    URL,
    claims,
    ec_key,
    issuer,
    key_set,
    raw_token,
    rsa_key,
    token,
)

STARTED_S = int(time.time())  # long before the last test runs
DAY_S = 86_400


def callers(*issuers: Issuer) -> JwtCallers:
    """Return callers of these issuers, whose keys are all those of the tests."""
    listed = issuers or (issuer(),)
    key_sets = {each.issuer: KeySet(each.jwks_url, lambda _: key_set()) for each in listed}
    return JwtCallers(Issuers(listed=listed), key_sets)


def refusal(text: str, *issuers: Issuer) -> str:
    """Return the reason why a token is refused."""
    with pytest.raises(Refused) as refused:
        callers(*issuers).caller(text)
    return refused.value.reason


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_good_token_names_its_caller(algorithm: str) -> None:
    """Principal, tenant and scopes come from the claims. Scopes that are not ours are left out."""
    found = callers().caller(token(claims(scope="openid jobs:read infer"), algorithm=algorithm))
    assert (found.principal, found.tenant, found.scopes) == ("jwt/okta/ada", "jwt-okta-acme", ("infer", "jobs:read"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": None}, "unknown-issuer"),
        ({"iss": "https://evil.example.com/"}, "unknown-issuer"),
        ({"iss": URL.rstrip("/")}, "unknown-issuer"),
        ({"iss": f"{URL}x"}, "unknown-issuer"),
        ({"iss": [URL]}, "unknown-issuer"),
        ({"aud": None}, "claims"),
        ({"aud": "glossa2"}, "audience"),
        ({"aud": "Glossa"}, "audience"),
        ({"aud": ["other"]}, "audience"),
        ({"aud": 7}, "audience"),
        ({"exp": None}, "claims"),
        ({"exp": STARTED_S - 40}, "expired"),
        ({"exp": "soon"}, "claims"),
        ({"exp": float("inf")}, "claims"),
        ({"nbf": STARTED_S + DAY_S}, "claims"),
        ({"nbf": "later"}, "claims"),
        ({"iat": STARTED_S + DAY_S}, "claims"),
    ],
)
def test_wrong_claims_are_refused(changes: dict[str, Any], reason: str) -> None:
    """Issuer and audience are compared as they are, and a token must have an end."""
    assert refusal(token(claims(**changes))) == reason


def test_an_audience_may_be_one_of_several() -> None:
    """A list of audiences that has ours is good."""
    assert callers().caller(token(claims(aud=["other", AUDIENCE]))).tenant == "jwt-okta-acme"


def test_times_may_be_off_by_half_a_minute() -> None:
    """Clocks of issuers are not exact."""
    now_s = int(time.time())
    assert callers().caller(token(claims(exp=now_s - 5, nbf=now_s + 5))).tenant == "jwt-okta-acme"


def test_the_audience_may_be_in_another_claim() -> None:
    """Access tokens of Cognito name the client in `client_id` and have no `aud`."""
    cognito = issuer(audience_claim="client_id")
    assert callers(cognito).caller(token(claims(aud=None, client_id=AUDIENCE))).tenant == "jwt-okta-acme"
    assert refusal(token(claims(aud=None, client_id="other")), cognito) == "audience"
    assert refusal(token(claims(aud=None, client_id=[AUDIENCE])), cognito) == "audience"
    assert refusal(token(claims()), cognito) == "claims"


def test_algorithms_are_fixed() -> None:
    """`none`, shared secrets, and the public key used as a secret are refused before any key is fetched."""
    pem = rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    body = json.dumps(claims()).encode()
    for algorithm in ("none", "None", "HS256", "HS512", "RS512", "PS256", "ES384", "", None, 7, ["RS256"]):
        header = {"alg": algorithm, "kid": "r1", "typ": "JWT"}
        unsigned = raw_token(header, body)
        signature = hmac.new(pem, unsigned.rpartition(".")[0].encode(), hashlib.sha256).digest()
        for text in (unsigned, raw_token(header, body, b""), raw_token(header, body, signature)):
            assert refusal(text) in {"algorithm", "no-jwt"}


def test_a_key_is_used_with_its_own_algorithm_alone() -> None:
    """A token that names an RSA key with ES256, or a P-256 key with RS256, is refused."""
    assert refusal(token(algorithm="ES256", header={"kid": "r1"})) == "unknown-signing-key"
    assert refusal(token(header={"kid": "e1"})) == "unknown-signing-key"


def test_wrong_signatures_are_refused() -> None:
    """A foreign key, a changed claim, and a signature of zeros do not pass."""
    head, _, signature = token().split(".")
    changed = token(claims(tenant="other")).split(".")[1]
    for text in (token(key=rsa_key(number=1)), f"{head}.{changed}.{signature}"):
        assert refusal(text) == "signature"
    zeros = raw_token({"alg": "ES256", "kid": "e1"}, json.dumps(claims()).encode(), bytes(64))
    assert refusal(zeros) == "signature"
    assert refusal(token(key=ec_key(ec.SECP384R1), algorithm="ES384", header={"kid": "e1"})) == "algorithm"


@pytest.mark.parametrize(
    "header",
    [{}, {"kid": "r1", "crit": ["b64"]}, {"kid": "r2"}, {"kid": "r1", "jku": "https://evil.example"}],
)
def test_headers_choose_no_keys_and_no_extensions(header: dict[str, Any]) -> None:
    """The key is one of the issuer's own by its id. Extensions that must be understood are refused; `jku` is unread."""
    signed = token(key=rsa_key(number=1 if "jku" in header else 0), header=header)
    assert refusal(signed) in {"header", "unknown-signing-key", "signature", "no-jwt"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "é.b.c",
        "x" * 9_000,
        f"{'x' * 9_000}.b.c",
        raw_token({"alg": "RS256", "kid": ["r1"]}, b"{}"),
        raw_token({"alg": "RS256", "kid": "r1"}, b"[" * 3_000),
        raw_token({"alg": "RS256", "kid": "r1"}, b'["a"]'),
        raw_token({"alg": "RS256", "kid": "r1"}, b"\xff\xfe"),
    ],
)
def test_what_is_no_jwt_is_refused(text: str) -> None:
    """Text of other shapes, too long, too deep or not JSON is refused, and never an error of ours."""
    assert refusal(text) in {"no-jwt", "unknown-issuer"}


@pytest.mark.parametrize(
    "tenant",
    [None, "", " ", " acme", "acme\n", "a\x00b", "x" * 257, ["acme"], ["acme", "other"], {"id": "acme"}, 7, True, 1.5],
)
def test_a_tenant_claim_that_is_no_name_is_refused(tenant: Any) -> None:
    """A missing, empty, listed, too long or unprintable tenant names nobody, whatever else is right."""
    assert refusal(token(claims(tenant=tenant))) == "tenant-claim"


def test_hostile_tenants_stay_in_the_name_space_of_their_issuer() -> None:
    """No claim names the tenant of an IAM identity, of a key, of another issuer, or a path."""
    hostile = [
        "123456789012-role-product-search", "key-acme", "local", "../../t/key-acme", "*", "acme/jobs", "ACME", "acme",
        "ácme", "x" * 256, "x" * 255, "a" * 20 + "-" + "0" * 32, "${tenant}", "auth0|acme", "acme@example.com",
    ]  # fmt: skip
    tenants = [callers().caller(token(claims(tenant=name))).tenant for name in hostile]
    assert len(set(tenants)) == len(hostile)
    for tenant in tenants:
        assert tenant.startswith("jwt-okta-")
        assert len(tenant) <= 63
        assert set(tenant) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert callers(issuer(name="o")).caller(token(claims(tenant="kta-acme"))).tenant == "jwt-o-kta-acme"


def test_the_subject_is_the_tenant_unless_another_claim_is_named() -> None:
    """By default each subject has a tenant of its own."""
    plain = Issuer(name="okta", issuer=URL, audience=AUDIENCE, jwks_url=f"{URL}keys")
    tenants = {callers(plain).caller(token(claims(sub=sub))).tenant for sub in ("ada", "bob")}
    assert tenants == {"jwt-okta-ada", "jwt-okta-bob"}


def test_issuers_share_tenants_only_with_one_name() -> None:
    """The same claim of two issuers is two tenants, unless the operator gives both issuers one name."""
    other = "https://second.example.com"
    first, second = issuer(), issuer(issuer=other, name="azure")
    found = callers(first, second)
    assert found.caller(token()).tenant != found.caller(token(claims(iss=other))).tenant
    shared = callers(first, issuer(issuer=other))
    assert shared.caller(token()).tenant == shared.caller(token(claims(iss=other))).tenant


@pytest.mark.parametrize(
    ("claim", "prefix", "scopes"),
    [
        ("infer  jobs:read", "", ("infer", "jobs:read")),
        (["infer", "jobs:read", 7, None], "", ("infer", "jobs:read")),
        ("glossa/infer glossa/jobs:read infer2", "glossa/", ("infer", "jobs:read")),
        ("infer", "glossa/", ()),
        ("Infer tasks:* *", "", ()),
        (None, "", ()),
        ({"infer": True}, "", ()),
        (True, "", ()),
    ],
)
def test_scopes_come_from_the_configured_claim(claim: Any, prefix: str, scopes: tuple[str, ...]) -> None:
    """A text or a list of words is read; words that are no scopes of ours give nothing."""
    wanted = issuer(scope_claim="scp", scope_prefix=prefix)
    assert callers(wanted).caller(token(claims(scope="infer tokens", scp=claim))).scopes == scopes


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "http://issuer.example.com"},
        {"jwks_url": "http://issuer.example.com/keys"},
        {"jwks_url": "https://user@issuer.example.com/keys"},
        {"name": "a-b"},
        {"name": ""},
        {"name": "x" * 17},
        {"audience": ""},
        {"algorithms": ["HS256"]},
    ],
)
def test_a_wrong_configuration_stops_the_function(changes: dict[str, Any]) -> None:
    """Only https, names that keep name spaces apart, and no option to choose other algorithms."""
    listed = [issuer().model_dump() | changes]
    with pytest.raises(ValidationError):
        Issuers.model_validate(json.dumps(listed))


def test_issuers_are_read_from_json_each_once() -> None:
    """A JSON list of issuers is read; one that names an issuer twice is refused."""
    listed = [issuer().model_dump()]
    assert Issuers.model_validate(json.dumps(listed)).listed == (issuer(),)
    for text in (json.dumps(listed * 2), "{}", "issuer"):
        with pytest.raises(ValidationError):
            Issuers.model_validate(text)


def test_the_judge_can_fail() -> None:
    """The same token passes a check that only looks at its signature, so the refusals above come from ours."""
    foreign = token(claims(aud="other"))
    assert jwt.decode(foreign, rsa_key().public_key(), algorithms=["RS256"], options={"verify_aud": False})
