"""Opens the client of the model server for the functions that call it: address, authority, keys, shared breakers.

The keys are a secret of Secrets Manager, or a file on this machine. boto3 is imported when the secret is first read,
and no key is kept in a SnapStart snapshot. Must not know requests.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from functions.lambdas.settings import ReplicaSettings
from functions.replica.breaker_store import BreakerStore, DynamoDbBreakers
from functions.replica.client import MAX_WAIT_S, ReplicaClient
from shared.call_keys import KeyCache, KeyFile, KeySource
from shared.limits import MAX_ANSWER_BYTES

CONNECT_S, READ_S, ATTEMPTS = 1.0, 2.0, 2  # a request waits for the keys, once in five minutes
BREAKER_S = 0.5  # a failed call waits so long for the shared circuit breakers, which it can do without


def open_client(
    settings: ReplicaSettings,
    keys: KeySource | None,
    *,
    max_answer_bytes: int = MAX_ANSWER_BYTES,
    max_wait_s: float = MAX_WAIT_S,
    waits_for_server: bool = False,
) -> ReplicaClient:
    """Return a client that signs with these keys. It trusts the authority of the package, if there is one.

    It waits out a Retry-After of at most `max_wait_s`, that of a server that is down only if it `waits_for_server`.
    Raises OSError for a certificate that cannot be read.
    """
    ca = settings.replica_ca.read_text(encoding="ascii") if settings.replica_ca.is_file() else None
    return ReplicaClient(
        settings.replica_url, keys=keys, ca=ca, breakers=open_breakers(settings), max_answer_bytes=max_answer_bytes,
        max_wait_s=max_wait_s, waits_for_server=waits_for_server,
    )  # fmt: skip


def open_breakers(settings: ReplicaSettings) -> BreakerStore | None:
    """Return the table in which functions share their circuit breakers; None when none is set."""
    return DynamoDbBreakers(settings.breakers_table, _dynamodb) if settings.breakers_table else None


def open_call_keys(settings: ReplicaSettings) -> KeySource | None:
    """Return the keys of the secret, else of the file; None when neither is set.

    Raises OSError, ValueError for a file that cannot be read.
    """
    if settings.call_keys_secret is not None:
        return KeyCache(partial(read_secret, settings.call_keys_secret))
    return None if settings.call_keys_file is None else KeyFile(settings.call_keys_file)


def read_secret(arn: str) -> str:
    """Return the text of a secret. Raises botocore's errors."""
    import boto3  # noqa: PLC0415 - takes 300 ms, which the start of a function need not pay
    from botocore.config import Config  # noqa: PLC0415 - likewise

    retries = {"mode": "standard", "total_max_attempts": ATTEMPTS}
    config = Config(retries=retries, connect_timeout=CONNECT_S, read_timeout=READ_S)
    answer = boto3.client("secretsmanager", config=config).get_secret_value(SecretId=arn)
    return str(answer["SecretString"])


def _dynamodb() -> Any:
    import boto3  # noqa: PLC0415 - takes 300 ms, which only a function whose call failed needs to pay
    from botocore.config import Config  # noqa: PLC0415 - likewise

    retries = {"mode": "standard", "total_max_attempts": 1}
    return boto3.client("dynamodb", config=Config(retries=retries, connect_timeout=BREAKER_S, read_timeout=BREAKER_S))


def load_boto3() -> None:
    """Import what `read_secret` needs, so that a snapshot holds it."""
    import boto3  # noqa: F401, PLC0415 - imported for its cost, before the snapshot
