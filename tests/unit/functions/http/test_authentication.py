"""The tenant of a request comes only from claims that API Gateway has verified."""

from __future__ import annotations

from typing import Any

import pytest

from functions.http.authentication import tenant_of
from shared.errors import Forbidden

ARN = "arn:aws:sts::123456789012:assumed-role/product-search/session"


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
    """The tenant is the account with the role or user. Sessions of one role are one tenant."""
    assert tenant_of(_identity(arn), "iam") == tenant


@pytest.mark.parametrize("name", ["Team_A", "team.a", "team_a", "x" * 64, "team-a-0123456789ab"])
def test_two_principals_never_share_a_tenant(name: str) -> None:
    """A name that is too long or has other characters is cut, and ends with a hash of the whole name."""
    others = {"team-a", "Team_A", "team.a", "team_a", "x" * 64, "x" * 63, "team-a-0123456789ab"} - {name}
    made = tenant_of(_identity(f"arn:aws:iam::123456789012:user/{name}"), "iam")
    assert made not in {tenant_of(_identity(f"arn:aws:iam::123456789012:user/{other}"), "iam") for other in others}
    assert len(made) <= 63
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"requestContext": None},
        {"requestContext": {"identity": {"userArn": None, "accountId": None}}},
        {"requestContext": {"identity": {"userArn": ARN, "accountId": "999999999999"}}},
        {"requestContext": {"identity": {"userArn": "arn:aws:iam::123456789012:group/x", "accountId": "123456789012"}}},
        {"headers": {"x-tenant": "123456789012-role-product-search"}, "requestContext": {"identity": {}}},
    ],
)
def test_without_a_verified_identity_nobody_is_a_tenant(raw: dict[str, Any]) -> None:
    """Missing, contradicting or unknown claims are Forbidden. Headers are not claims."""
    with pytest.raises(Forbidden):
        tenant_of(raw, "iam")


def test_without_auth_every_caller_is_local() -> None:
    """The local stack has one tenant, whatever the event claims."""
    assert tenant_of(_identity(ARN), "none") == "local"


def _identity(arn: str) -> dict[str, Any]:
    return {"requestContext": {"identity": {"userArn": arn, "accountId": "123456789012"}}}
