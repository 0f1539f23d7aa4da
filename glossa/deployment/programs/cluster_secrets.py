"""Writes the first call key into its secret, and copies secrets into a cluster: call keys and Redis's password.

    python -m glossa.deployment.programs.cluster_secrets --region REGION --call-keys ARN
        [--kubeconfig FILE --redis ARN]

A template makes the secret of call keys empty; the first run writes a key. Instances fetch the secret themselves, so
without --kubeconfig nothing is copied. No secret is ever on a command line or
in a file: kubectl reads it from its standard input. Must not know who uses them.
"""

from __future__ import annotations

import argparse
import base64
import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from glossa.deployment.names import APP_LABEL, CALL_KEYS, CALL_KEYS_FILE, NAMESPACE, REDIS, REDIS_FIELD
from shared.call_keys import new_key, read_call_keys, write_call_keys
from shared.call_token import CallKeys

FIRST_KEY = "k1"


def shaped_call_keys(client: Any, secret: str) -> str:
    """Return the call keys of a secret as JSON. An empty secret gets its first key.

    Raises ValueError for a secret that holds something else: it is not thrown away. Raises the errors of boto3.
    """
    try:
        text = str(client.get_secret_value(SecretId=secret)["SecretString"])
    except client.exceptions.ResourceNotFoundException:  # the secret has no version yet
        text = write_call_keys(CallKeys(FIRST_KEY, {FIRST_KEY: new_key()}))
        client.put_secret_value(SecretId=secret, SecretString=text)
    read_call_keys(text)
    return text


def manifest(name: str, values: Mapping[str, str]) -> str:
    """Return the Secret of Kubernetes that holds these values, as JSON."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": APP_LABEL}
    return json.dumps({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": data})


def apply(kubeconfig: str, text: str) -> int:
    """Give a manifest to kubectl on its standard input; return its exit status."""
    command = ["kubectl", "--kubeconfig", kubeconfig, "apply", "--server-side", "--force-conflicts", "--filename", "-"]
    return subprocess.run(command, input=text.encode(), check=False).returncode


def main() -> int:
    """Copy the secrets; return 0, or kubectl's exit status."""
    parser = argparse.ArgumentParser(prog="python -m glossa.deployment.programs.cluster_secrets")
    for name in ("--region", "--call-keys"):
        parser.add_argument(name, required=True)
    for name in ("--kubeconfig", "--redis"):
        parser.add_argument(name)
    asked = parser.parse_args()

    import boto3  # noqa: PLC0415 - takes 300 ms, which `--help` does not need
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow, as boto3 is

    client = boto3.client("secretsmanager", region_name=asked.region)
    try:
        manifests = [manifest(CALL_KEYS, {CALL_KEYS_FILE: shaped_call_keys(client, asked.call_keys)})]
        if asked.redis:
            password = json.loads(client.get_secret_value(SecretId=asked.redis)["SecretString"])[REDIS_FIELD]
            manifests.append(manifest(REDIS, {REDIS_FIELD: str(password)}))
    except (BotoCoreError, ClientError, ValueError, KeyError) as error:
        print(f"the secrets cannot be read: {error}", file=sys.stderr)
        return 1
    return max(apply(asked.kubeconfig, text) for text in manifests) if asked.kubeconfig else 0


if __name__ == "__main__":
    sys.exit(main())
