"""The tenant of a request, and what it may ask for, come only from what API Gateway has verified."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from functions.http.authentication import OPEN, Auth, check_task, tenant_name, tenant_of
from shared.errors import Forbidden

ACCOUNT = "123456789012"
ROLE = f"arn:aws:sts::{ACCOUNT}:assumed-role/product-search"
ARN = f"{ROLE}/session"
SSO = f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Team_0123456789abcdef"
COGNITO = f"arn:aws:sts::{ACCOUNT}:assumed-role/users/CognitoIdentityCredentials"
COGNITO_ID = "eu-central-1:01234567-89ab-cdef-0123-456789abcdef"
SIGNED, BEARER = Auth("iam"), Auth("bearer")
SAID = {"tenant": "key-acme", "principal": "key/00", "scopes": "tasks:fill-mask jobs:write"}


@pytest.mark.parametrize(
    ("arn", "tenant"),
    [
        (ARN, "123456789012-role-product-search"),
        (ARN.replace("session", "another"), "123456789012-role-product-search"),
        ("arn:aws:iam::123456789012:user/division/ada", "123456789012-user-ada"),
        ("arn:aws:iam::123456789012:root", "123456789012-root"),
        ("arn:aws-cn:sts::123456789012:federated-user/ada", "123456789012-federated-user-ada"),
    ],
)
def test_tenant_of_an_iam_identity(arn: str, tenant: str) -> None:
    """The tenant is the account with the user, or with a role that is configured to be one tenant."""
    for roles in ({"product-search"}, {"*"}):
        assert tenant_of(_identity(arn), Auth("iam", frozenset(roles))) == tenant


def test_sessions_of_one_role_are_tenants_of_their_own() -> None:
    """Two people who sign in through SSO, or assume one role, never share a tenant."""
    arns = [f"{SSO}/ada@example.com", f"{SSO}/bob@example.com", f"{SSO}/Ada@example.com", ARN, f"{ROLE}/session2"]
    arns += [f"{ROLE}-a/b", f"{ROLE}/a-b", f"arn:aws:iam::{ACCOUNT}:user/product-search"]
    tenants = [tenant_of(_identity(arn), SIGNED) for arn in arns]
    assert len(set(tenants)) == len(arns)
    assert tenants == [tenant_of(_identity(arn), SIGNED) for arn in arns]
    assert tenants[0].startswith(f"{ACCOUNT}-session-")


def test_only_the_named_roles_are_one_tenant() -> None:
    """A role that is one tenant says nothing of a role with another name."""
    auth = Auth("iam", frozenset({"product-search"}))
    assert tenant_of(_identity(f"{SSO}/ada"), auth) == tenant_of(_identity(f"{SSO}/ada"), SIGNED)
    assert tenant_of(_identity(f"{SSO}/ada"), auth) != tenant_of(_identity(f"{SSO}/bob"), auth)


@pytest.mark.parametrize("auth", [SIGNED, Auth("iam", frozenset({"*"}))])
def test_users_of_an_identity_pool_never_share(auth: Auth) -> None:
    """All users of a Cognito identity pool have one role and one session name. Their identity tells them apart."""
    other = COGNITO_ID.replace("f", "0")
    ada, bob = (tenant_of(_identity(COGNITO, cognitoIdentityId=found), auth) for found in (COGNITO_ID, other))
    assert ada != bob
    assert ada.startswith(f"{ACCOUNT}-cognito-")
    for broken in (None, "", "x", "*"):
        with pytest.raises(Forbidden, match="without its identity"):
            tenant_of(_identity(COGNITO, cognitoIdentityId=broken), auth)


@pytest.mark.parametrize("name", ["Team_A", "team.a", "team_a", "x" * 64, "team-a-0123456789ab"])
def test_two_principals_never_share_a_tenant(name: str) -> None:
    """A name that is too long or has other characters is cut, and ends with a hash of the whole name."""
    others = {"team-a", "Team_A", "team.a", "team_a", "x" * 64, "x" * 63, "team-a-0123456789ab"} - {name}
    made = tenant_of(_identity(f"arn:aws:iam::123456789012:user/{name}"), SIGNED)
    assert made not in {tenant_of(_identity(f"arn:aws:iam::123456789012:user/{other}"), SIGNED) for other in others}
    assert len(made) <= 63
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_a_name_cannot_pass_for_the_hash_of_another() -> None:
    """The tenant of one name is never the plain name of another."""
    names = ["jwt-a-Ada", "jwt-a-ada", "jwt-a-" + "x" * 90, "jwt-a-ä", "jwt-a-\ud800"]
    tenants = [tenant_name(name) for name in names]
    assert len(set(tenants)) == len(names)
    assert all(len(tenant) <= 63 for tenant in tenants)
    for tenant in tenants:
        assert tenant == "jwt-a-ada" or tenant_name(tenant) != tenant


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"requestContext": None},
        {"requestContext": {"identity": {"userArn": None, "accountId": None}}},
        {"requestContext": {"identity": {"userArn": ARN, "accountId": "999999999999"}}},
        {"requestContext": {"identity": {"userArn": "arn:aws:iam::123456789012:group/x", "accountId": "123456789012"}}},
        {"requestContext": {"identity": {"userArn": ROLE, "accountId": ACCOUNT}}},
        {"headers": {"x-tenant": "123456789012-role-product-search"}, "requestContext": {"identity": {}}},
        {"requestContext": {"authorizer": SAID}},
    ],
)
def test_without_a_verified_identity_nobody_is_a_tenant(raw: dict[str, Any]) -> None:
    """Missing, contradicting or unknown claims are Forbidden. Headers and an authorizer's words are no signature."""
    with pytest.raises(Forbidden):
        tenant_of(raw, SIGNED)


@pytest.mark.parametrize(
    "said",
    [
        None,
        {},
        {"tenant": "key-acme"},
        SAID | {"tenant": ""},
        SAID | {"tenant": "../x"},
        SAID | {"tenant": ["key-acme"]},
        SAID | {"tenant": "x" * 64},
        SAID | {"scopes": None},
        {name: value for name, value in SAID.items() if name != "principal"},
    ],
)
def test_without_the_authorizer_nobody_is_a_tenant(said: Any) -> None:
    """With `bearer` a request whose context the authorizer did not fill is Forbidden, even if it is signed."""
    raw = _identity(ARN)
    raw["requestContext"]["authorizer"] = said
    raw |= {"headers": {"authorization": "Bearer x", "tenant": "key-acme"}, "body": '{"tenant": "key-acme"}'}
    for call in (lambda: tenant_of(raw, BEARER), lambda: check_task(raw, BEARER, "fill-mask")):
        with pytest.raises(Forbidden, match="passed the authorizer"):
            call()


def test_the_tenant_of_a_bearer_is_what_the_authorizer_named() -> None:
    """A signature on the same request changes nothing."""
    raw = _identity(ARN)
    raw["requestContext"]["authorizer"] = SAID
    assert tenant_of(raw, BEARER) == "key-acme"
    assert tenant_of(raw, SIGNED) != "key-acme"


@pytest.mark.parametrize(
    ("scopes", "task", "may"),
    [
        ("infer", "fill-mask", True),
        ("tasks:fill-mask", "fill-mask", True),
        ("jobs:write tasks:fill-mask", "fill-mask", True),
        ("tasks:fill-mask", "rerank", False),
        ("jobs:write", "rerank", False),
        ("infer-not", "rerank", False),
        ("", "", False),
    ],
)
def test_a_task_needs_its_scope(scopes: str, task: str, *, may: bool) -> None:
    """A caller may ask for a task with the scope of all tasks, or with that of this task."""
    raw = {"requestContext": {"authorizer": SAID | {"scopes": scopes}}}
    if may:
        check_task(raw, BEARER, task)
    else:
        with pytest.raises(Forbidden, match="without the scope"):
            check_task(raw, BEARER, task)


def test_signed_callers_have_every_task() -> None:
    """Scopes are for tokens. The rights of a signed caller are those of its IAM policy."""
    for auth, task in itertools.product((SIGNED, OPEN), ("fill-mask", "rerank")):
        check_task({}, auth, task)


def test_without_auth_every_caller_is_local() -> None:
    """The local stack has one tenant, whatever the event claims."""
    assert tenant_of(_identity(ARN), OPEN) == "local"


def _identity(arn: str, **more: Any) -> dict[str, Any]:
    return {"requestContext": {"identity": {"userArn": arn, "accountId": ACCOUNT, **more}}}
