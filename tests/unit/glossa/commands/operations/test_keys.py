"""`glossa keys` over a table of moto: a key is made, listed without its hash, taken by the authorizer, and revoked."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from functions.authorizer.api_keys import caller_of_key
from functions.authorizer.key_store import KeyStore, open_keys
from functions.authorizer.policy import Refused
from glossa.cli import main
from glossa.commands.operations.keys import table_of
from tests.account_in_memory import keys_table
from tests.unit.template import templates

CREATE = ["keys", "create", "--name", "search", "--scope", "infer", "--scope", "jobs:read"]


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyStore]:
    """Make a table of keys; return the keys."""
    monkeypatch.delenv("GLOSSA_KEYS_TABLE", raising=False)
    with keys_table(monkeypatch):
        yield open_keys("keys")


def test_a_key_lives_from_its_creation_to_its_end(keys: KeyStore, capsys: pytest.CaptureFixture[str]) -> None:
    """The printed key is taken until it is revoked. The list never has the key, its secret or its hash."""
    assert main([*CREATE, "--table", "keys", "--tenant", "acme"]) == 0
    text = capsys.readouterr().out.strip()
    found = caller_of_key(text, keys, time.time())
    assert (found.tenant, found.scopes) == ("key-acme", ("infer", "jobs:read"))
    assert main(["keys", "list", "--table", "keys"]) == 0
    said = capsys.readouterr().out
    listed = json.loads(said)
    assert (listed["id"], listed["name"], listed["state"]) == (text[7:23], "search", "active")
    stored = keys.get(text[7:23])
    assert stored is not None
    assert not [secret for secret in (text, text[24:], stored.sha256) if secret in said]
    assert main(["keys", "revoke", text[7:23], "--table", "keys"]) == 0
    with pytest.raises(Refused, match="revoked-key"):
        caller_of_key(text, keys, time.time())
    capsys.readouterr()
    assert main(["keys", "list", "--table", "keys"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "revoked"


def test_the_table_may_be_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """GLOSSA_KEYS_TABLE is used when no option names a table."""
    assert main(["keys", "list"]) == 2
    monkeypatch.setenv("GLOSSA_KEYS_TABLE", "keys")
    assert main(["keys", "list"]) == 0


def test_a_tenant_of_others_is_shared_only_by_its_whole_name(
    keys: KeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """--tenant stays in the name space of keys; --as-tenant is how an operator shares a tenant on purpose."""
    tenants = []
    for option in ("--tenant", "--as-tenant"):
        assert main([*CREATE, "--table", "keys", option, "jwt-okta-acme"]) == 0
        tenants.append(caller_of_key(capsys.readouterr().out.strip(), keys, time.time()).tenant)
    assert tenants == ["key-jwt-okta-acme", "jwt-okta-acme"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*CREATE, "--tenant", "a"], "got no table"),
        ([*CREATE, "--tenant", "a", "--table", "keys", "--stack", "glossa"], "got --table and --stack"),
        ([*CREATE, "--table", "keys"], "expected one of them"),
        ([*CREATE, "--table", "keys", "--tenant", "a", "--as-tenant", "b"], "expected one of them"),
        ([*CREATE, "--table", "keys", "--tenant", "a", "--scope", "all"], "got --scope 'all', expected some of infer"),
        ([*CREATE, "--table", "keys", "--tenant", "a", "--days", "0"], "got 0 days, expected 1 to 3650"),
        ([*CREATE, "--table", "keys", "--as-tenant", "A/b"], "got tenant 'A/b'"),
        ([*CREATE, "--table", "keys", "--tenant", "a", "--name", "a\nb"], "expected 1 to 100 printable"),
        ([*CREATE, "--table", "other", "--tenant", "a"], "AWS refused"),
        (["keys", "revoke", "0" * 16, "--table", "keys"], "expected the id of a key in this table"),
        (["keys", "revoke", "glossa_x", "--table", "keys"], "got no id of a key"),
    ],
)
def test_what_cannot_be_done_ends_in_one_line(
    words: list[str], said: str, keys: KeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 2, the reason is on standard error, and no key is made."""
    assert main(words) == 2
    answer = capsys.readouterr()
    assert said in answer.err
    assert (answer.out, list(keys.all())) == ("", [])


def test_a_stack_names_its_table() -> None:
    """The output of the template is read; a stack without it is another one."""
    outputs = [{"OutputKey": "ApiUrl", "OutputValue": "x"}, {"OutputKey": "KeysTableName", "OutputValue": "k"}]
    assert table_of({"Outputs": outputs}) == "k"
    assert "KeysTableName" in templates()["source"]["Outputs"]
    for other in ({}, {"Outputs": []}, {"Outputs": outputs[:1]}):
        with pytest.raises(ValueError, match=r"expected the stack of template\.yaml"):
            table_of(other)
