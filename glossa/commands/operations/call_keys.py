"""`glossa call-keys`: makes and replaces the keys that sign calls to replicas, in their secret of Secrets Manager.

    glossa call-keys create --secret ARN                              fills a secret that is empty
    glossa call-keys status --secret ARN                              prints the ids of the keys, and the next step
    glossa call-keys rotate --secret ARN [--step add|sign|retire]     takes the next step

A rotation has three steps. After each one, replicas and functions must have the new text before the next step. The
text of the secret alone says which step comes next, so a rotation goes on after any interruption. Calls AWS with the
caller's own credentials. Prints no key. Must not know who signs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, Literal

import click

from glossa.commands.arguments import F
from shared.call_keys import MAX_AGE_S, new_key, read_call_keys, write_call_keys
from shared.call_token import CallKeys

Step = Literal["add", "sign", "retire"]
OpenClient = Callable[[str], Any]  # from the name of a service
EMPTY = ("", "{}")
COPY = "copy the secret to the replicas, as `glossa deploy` does"
# what must have happened before the step that follows
THEN: dict[Step, str] = {
    "add": f"{COPY}; when all have it, rotate again, and the new key signs",
    "sign": f"wait for {MAX_AGE_S / 60:.0f} minutes, until every function signs with it, then rotate again",
    "retire": f"{COPY}; then the old key is refused, and the rotation is done",
}


def next_step(keys: CallKeys) -> Step:
    """Return which step of a rotation comes next. The last key is the newest."""
    if len(keys.keys) == 1:
        return "add"
    return "retire" if keys.signing == list(keys.keys)[-1] else "sign"


def rotated(keys: CallKeys, step: Step) -> CallKeys:
    """Return the keys after a step. Raises ValueError when another step comes next."""
    if step != (expected := next_step(keys)):
        raise ValueError(f"got the step {step}, expected {expected}: the keys are {', '.join(keys.keys)}, "
                         f"and {keys.signing} signs")  # fmt: skip
    if step == "add":
        return CallKeys(keys.signing, {**keys.keys, _fresh_id(keys): new_key()})
    newest = list(keys.keys)[-1]
    return CallKeys(newest, keys.keys if step == "sign" else {newest: keys.keys[newest]})


def create(secrets: Any, secret: str) -> str:
    """Return the text of a secret of call keys; fill it with a new key if it is empty.

    `secrets` is a client of Secrets Manager. The text is what the Kubernetes secret of the replicas holds as keys.json.
    Raises ValueError for a secret that holds something else.
    """
    text = _read(secrets, secret)
    if text.strip() in EMPTY:
        text = write_call_keys(CallKeys("k1", {"k1": new_key()}))
        secrets.put_secret_value(SecretId=secret, SecretString=text)
    read_call_keys(text)
    return text


@click.group("call-keys", help="Make and replace the keys that sign calls to the model servers.")
def call_keys_group() -> None:
    """Hold the commands of call keys. A test may pass another OpenClient as click's `obj`."""


def _secret_option(command: F) -> F:
    text = "The secret: the output CallKeysSecretArn of the stack of the cluster or the instances."
    return click.option("--secret", required=True, metavar="ARN", help=text)(command)


@call_keys_group.command("create", help="Fill the secret with a first key, unless it has keys.")
@_secret_option
def create_command(*, secret: str) -> int:
    """Run the command; return its exit code."""
    _print(read_call_keys(create(_open(), secret)))
    return 0


@call_keys_group.command("status", help="Print the ids of the keys and the next step of a rotation, as JSON.")
@_secret_option
def status_command(*, secret: str) -> int:
    """Run the command; return its exit code."""
    _print(read_call_keys(_read(_open(), secret)))
    return 0


@call_keys_group.command(
    "rotate", help="Take the next step of a rotation: add a key, sign with it, retire the old one."
)
@_secret_option
@click.option("--step", type=click.Choice(["add", "sign", "retire"]), help="Only if this is the next step.")
def rotate_command(*, secret: str, step: Step | None) -> int:
    """Run the command; return its exit code."""
    secrets = _open()
    keys = read_call_keys(_read(secrets, secret))
    taken = step or next_step(keys)
    changed = rotated(keys, taken)
    secrets.put_secret_value(SecretId=secret, SecretString=write_call_keys(changed))
    _print(changed)
    print(f"done: {taken}. Next: {THEN[taken]}.", file=sys.stderr)
    return 0


def _print(keys: CallKeys) -> None:
    print(json.dumps({"signing": keys.signing, "keys": list(keys.keys), "next_step": next_step(keys)}))


def _fresh_id(keys: CallKeys) -> str:
    numbers = [int(key_id[1:]) for key_id in keys.keys if key_id[:1] == "k" and key_id[1:].isdecimal()]
    return f"k{max(numbers, default=0) + 1}"


def _read(secrets: Any, secret: str) -> str:
    """Return the text of a secret, "" when it has none yet. Raises ValueError with what AWS says."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - only these commands need it

    try:
        secrets.describe_secret(SecretId=secret)  # tells a secret that is not there from one without text
        return str(secrets.get_secret_value(SecretId=secret)["SecretString"])
    except (BotoCoreError, ClientError) as error:
        is_empty = (
            getattr(error, "operation_name", "") == "GetSecretValue" and _code(error) == "ResourceNotFoundException"
        )
        if is_empty:
            return ""
        raise ValueError(f"AWS refused: {error}") from None


def _code(error: Exception) -> str:
    response = getattr(error, "response", {})
    return str(response.get("Error", {}).get("Code", ""))


def _open() -> Any:
    import boto3  # noqa: PLC0415 - takes 300 ms, and only these commands need it

    open_client: OpenClient = click.get_current_context().obj or boto3.client
    return open_client("secretsmanager")
