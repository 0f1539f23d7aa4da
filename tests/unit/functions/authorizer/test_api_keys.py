"""API keys: how they are made, and which are refused."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from functions.authorizer.api_keys import DAY_S, KEY, caller_of_key, new_key, tenant_of_keys
from functions.authorizer.key_store import InMemoryKeys
from functions.authorizer.policy import Refused
from shared.errors import Unprocessable

NOW_S = 1_800_000_000
TENANT = tenant_of_keys("acme")


def stored(**changes: object) -> tuple[str, InMemoryKeys]:
    """Return a key's text, and a store that holds it with changes."""
    made = new_key(name="search", tenant=TENANT, scopes=["infer", "jobs:read"], days=30, now_s=NOW_S)
    store = InMemoryKeys()
    store.add(replace(made.stored, **changes))  # type: ignore[arg-type] # the fields of a key
    return made.text, store


def refusal(text: str, store: InMemoryKeys, now_s: float = NOW_S) -> str:
    """Return why a key is refused."""
    with pytest.raises(Refused) as refused:
        caller_of_key(text, store, now_s)
    return refused.value.reason


def test_a_good_key_names_its_caller() -> None:
    """Principal, tenant and scopes are those that were stored."""
    text, store = stored()
    found = caller_of_key(text, store, NOW_S + 30 * DAY_S - 1)
    assert (found.principal, found.tenant, found.scopes) == (
        f"key/{text[7:23]}",
        "key-acme",
        ("infer", "jobs:read"),
    )


def test_only_a_hash_is_stored() -> None:
    """Neither the text of a key nor its secret is among what is stored."""
    made = new_key(name="search", tenant=TENANT, scopes=["infer"], days=1, now_s=NOW_S)
    assert KEY.fullmatch(made.text)
    assert made.text.rsplit("_", 1)[-1] not in str(made.stored)
    assert made.text.removeprefix(f"glossa_{made.stored.id}_") not in str(made.stored)
    assert made.stored.sha256 == hashlib.sha256(made.text.encode()).hexdigest()


def test_keys_are_long_and_never_the_same() -> None:
    """A secret has 256 bits: 43 characters of 6 bits."""
    made = {new_key(name="", tenant=TENANT, scopes=["infer"], days=1, now_s=NOW_S).text for _ in range(100)}
    assert len(made) == 100
    assert {len(text) for text in made} == {len("glossa_") + 16 + 1 + 43}


def test_wrong_keys_are_refused() -> None:
    """A changed secret, an unknown id, and text of another shape name nobody."""
    text, store = stored()
    changed = text[:-1] + ("A" if text[-1] != "A" else "B")
    assert refusal(changed, store) == "unknown-key"
    assert refusal(text.replace(text[7:23], "0" * 16), store) == "unknown-key"
    assert refusal(text, InMemoryKeys()) == "unknown-key"
    for other in ("", "glossa_", text + "x", text.upper(), f" {text}", text[:-1], f"glossa_../../x_{'A' * 43}"):
        assert refusal(other, store) == "no-key"


def test_the_secret_of_one_key_does_not_open_another() -> None:
    """A key with the id of another and its own secret is refused."""
    text, store = stored()
    other, _ = stored()
    assert refusal(text[:23] + other[23:], store) == "unknown-key"


def test_revoked_and_expired_keys_are_refused() -> None:
    """A key stops at its end, and as soon as it is revoked."""
    text, store = stored()
    assert refusal(text, store, NOW_S + 30 * DAY_S) == "expired-key"
    store.revoke(text[7:23], NOW_S)
    assert refusal(text, store) == "revoked-key"


def test_a_stored_tenant_that_is_no_name_is_refused() -> None:
    """Whoever edits the table cannot make a tenant that leaves its prefix."""
    for tenant in ("", "../x", "Acme", "x" * 64):
        text, store = stored(tenant=tenant)
        assert refusal(text, store) == "key-without-tenant"


def test_stored_scopes_that_are_none_of_ours_open_nothing() -> None:
    """A scope that was removed from the list is ignored."""
    text, store = stored(scopes=("infer", "everything"))
    assert caller_of_key(text, store, NOW_S).scopes == ("infer",)


@pytest.mark.parametrize(
    ("scopes", "tenant", "days", "said"),
    [
        ([], TENANT, 1, "got the scope none"),
        (["infer", "all"], TENANT, 1, "got the scope 'all'"),
        (["infer"], "Acme", 1, "got tenant 'Acme'"),
        (["infer"], "", 1, "got tenant ''"),
        (["infer"], TENANT, 0, "got 0 days"),
        (["infer"], TENANT, 3_651, "got 3651 days, expected 1 to 3650"),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(scopes: list[str], tenant: str, days: int, said: str) -> None:
    """Unknown scopes, impossible tenants and endless keys are refused with what is expected."""
    with pytest.raises(Unprocessable, match=said):
        new_key(name="search", tenant=tenant, scopes=scopes, days=days, now_s=NOW_S)


def test_tenants_of_keys_have_a_name_space_of_their_own() -> None:
    """Whatever an operator calls a tenant, it is none of IAM and of no issuer."""
    names = ["acme", "Acme", "jwt-okta-acme", "123456789012-role-x", "local", "x" * 99, "a b"]
    tenants = {tenant_of_keys(name) for name in names}
    assert len(tenants) == len(names)
    assert all(tenant.startswith("key-") and len(tenant) <= 63 for tenant in tenants)


@pytest.mark.parametrize("name", ["", " ", " acme", "a\nb", "x" * 257])
def test_a_tenant_needs_a_name(name: str) -> None:
    """A shell variable that is not set would otherwise make one tenant that all such keys share."""
    with pytest.raises(Unprocessable, match="expected 1 to 256 printable characters"):
        tenant_of_keys(name)


def test_a_stored_digest_that_is_none_opens_nothing() -> None:
    """A digest that somebody changed in the table is compared like any other."""
    text, store = stored(sha256="é")
    assert refusal(text, store) == "unknown-key"
