"""`glossa keys`: makes, lists and revokes API keys in the table of a stack, with the AWS credentials of the operator.

A key is printed once, on standard output; the table has only its hash. Must not know how a key is checked.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import click

from functions.authorizer.api_keys import KEY_ID, MAX_DAYS, new_key, tenant_of_keys
from functions.authorizer.key_store import ApiKey, KeyStore, open_keys
from functions.authorizer.scopes import SCOPES
from glossa.commands.arguments import F, examples
from shared.settings import Settings, read_settings

OUTPUT = "KeysTableName"  # of the template
MAX_NAME_CHARS = 100
DEFAULT_DAYS = 90


class KeysCommandSettings(Settings):
    """GLOSSA_KEYS_TABLE is the table of API keys."""

    keys_table: str = ""


@click.group("keys", help="Make, list and revoke API keys.")
def keys_group() -> None:
    """Hold the commands of keys."""


def _table_options(command: F) -> F:
    stack = click.option("--stack", metavar="NAME", help=f"The stack of functions, whose output {OUTPUT} is read.")
    table = click.option("--table", metavar="NAME", help="The table of keys. Default: GLOSSA_KEYS_TABLE.")
    return stack(table(command))


@keys_group.command(
    "create",
    help="Make a key and print it. It is shown this once: the table has only its hash.",
    epilog=examples('glossa keys create --stack glossa-dev --name "search page" --tenant shop --scope infer --days 30'),
)
@_table_options
@click.option("--name", required=True, metavar="TEXT", help="What it is for, in your words.")
@click.option("--tenant", metavar="NAME", help="Whose data it reads. Keys of one tenant share jobs and recipes.")
@click.option("--as-tenant", metavar="NAME", help="Instead of --tenant: the whole name of a tenant of IAM or of a JWT.")
@click.option("--scope", "scopes", multiple=True, required=True, metavar="SCOPE", help="What it may do; repeatable.")
@click.option("--days", type=int, default=DEFAULT_DAYS, show_default=True, metavar="N", help=f"1 to {MAX_DAYS}.")
def create_command(
    *,
    table: str | None,
    stack: str | None,
    name: str,
    tenant: str | None,
    as_tenant: str | None,
    scopes: tuple[str, ...],
    days: int,
) -> int:
    """Make a key; return the exit code."""
    if unknown := sorted(set(scopes) - SCOPES.keys()):
        raise ValueError(f"got --scope {unknown[0]!r}, expected some of {', '.join(SCOPES)}")
    if (tenant is None) == (as_tenant is None):
        raise ValueError("got --tenant and --as-tenant, or neither; expected one of them")
    if not name.isprintable() or not 1 <= len(name) <= MAX_NAME_CHARS:
        raise ValueError(f"got --name {name[:40]!r}, expected 1 to {MAX_NAME_CHARS} printable characters")
    owner = tenant_of_keys(tenant) if tenant is not None else str(as_tenant)
    made = new_key(name=name, tenant=owner, scopes=scopes, days=days, now_s=int(time.time()))
    with _keys(table, stack) as keys:
        keys.add(made.stored)
    print(f"id {made.stored.id}, tenant {owner}, until {_day(made.stored.expires_s)}", file=sys.stderr)
    print("keep the next line: it is not shown again", file=sys.stderr)
    print(made.text)
    return 0


@keys_group.command(
    "list",
    help="Print a line of JSON for each key, oldest first.",
    epilog=examples("glossa keys list --stack glossa-dev"),
)
@_table_options
def list_command(*, table: str | None, stack: str | None) -> int:
    """Print the keys; return the exit code."""
    with _keys(table, stack) as keys:
        found = sorted(keys.all(), key=lambda key: (key.created_s, key.id))
    for key in found:
        print(json.dumps(shown(key, time.time()), ensure_ascii=False))
    return 0


@keys_group.command(
    "revoke",
    help="Refuse a key from now on. It may still be answered for 30 s.",
    epilog=examples("glossa keys revoke 0123456789abcdef --stack glossa-dev"),
)
@click.argument("key_id", metavar="ID")
@_table_options
def revoke_command(*, key_id: str, table: str | None, stack: str | None) -> int:
    """Revoke a key; return the exit code."""
    if not KEY_ID.fullmatch(key_id):
        raise ValueError("got no id of a key, expected 16 of 0-9 a-f, as `glossa keys list` prints them")
    with _keys(table, stack) as keys:
        if not keys.revoke(key_id, int(time.time())):
            raise ValueError(f"got {key_id}, expected the id of a key in this table; `glossa keys list` prints them")
    print(f"revoked {key_id}", file=sys.stderr)
    return 0


def shown(key: ApiKey, now_s: float) -> dict[str, object]:
    """Return what may be shown of a key: everything but its hash."""
    state = "revoked" if key.revoked_s is not None else "expired" if key.expires_s <= now_s else "active"
    plain = {name: value for name, value in asdict(key).items() if name not in {"sha256", "created_s", "expires_s"}}
    revoked = {"revoked": _day(key.revoked_s)} if key.revoked_s is not None else {}
    plain.pop("revoked_s")
    return {**plain, "state": state, "created": _day(key.created_s), "expires": _day(key.expires_s), **revoked}


@contextmanager
def _keys(table: str | None, stack: str | None) -> Iterator[KeyStore]:
    """Yield the keys of a table or of a stack. Raises ValueError with what AWS said when it refused."""
    import botocore.exceptions  # noqa: PLC0415 - slow, and only these commands need it

    if table is not None and stack is not None:
        raise ValueError("got --table and --stack, expected one of them")
    try:
        name = table_of(_described(stack)) if stack else table or read_settings(KeysCommandSettings).keys_table
        if not name:
            raise ValueError("got no table, expected --stack NAME, --table NAME or GLOSSA_KEYS_TABLE")
        yield open_keys(name)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        raise ValueError(f"AWS refused: {error}") from None


def table_of(stack: Mapping[str, Any]) -> str:
    """Return the table of keys that a described stack names. Raises ValueError when it is another stack."""
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
    if OUTPUT not in outputs:
        raise ValueError(f"got a stack without the output {OUTPUT}, expected the stack of template.yaml")
    return str(outputs[OUTPUT])


def _described(stack: str) -> Mapping[str, Any]:
    import boto3  # noqa: PLC0415 - slow, and only these commands need it

    found: Mapping[str, Any] = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    return found


def _day(epoch_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch_s))
