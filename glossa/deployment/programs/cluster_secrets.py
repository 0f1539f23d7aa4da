"""Writes the first call key into its secret, and copies secrets into a cluster: call keys and Redis's password.

    python -m glossa.deployment.programs.cluster_secrets --region REGION --call-keys ARN
        [--kubeconfig FILE --redis ARN]

A template makes the secret of call keys empty; the first run writes a key. Instances fetch the secret themselves, so
without --kubeconfig nothing is copied. No secret is ever on a command line or in a file: kubectl reads it from its
standard input. Must not know who uses them.
"""

from __future__ import annotations

import argparse
import base64
import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

from glossa.deployment.call_keys import Held, create
from glossa.deployment.names import APP_LABEL, CALL_KEYS, CALL_KEYS_FILE, NAMESPACE, REDIS, REDIS_FIELD

STANDARD_ERROR = 2  # standard output is for the answer of a command
SINCE = "glossa-keys-since"  # the annotation: when this text came, by the clock of AWS


def manifest(name: str, values: Mapping[str, str], annotations: Mapping[str, str] | None = None) -> str:
    """Return the Secret of Kubernetes that holds these values, as JSON."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    metadata: dict[str, object] = {"name": name, "namespace": NAMESPACE, "labels": APP_LABEL}
    metadata |= {"annotations": dict(annotations)} if annotations else {}
    return json.dumps({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": data})


def apply(kubeconfig: str, text: str) -> int:
    """Give a manifest to kubectl on its standard input; return its exit status."""
    command = ["kubectl", "--kubeconfig", kubeconfig, "apply", "--server-side", "--force-conflicts", "--filename", "-"]
    return subprocess.run(command, input=text.encode(), stdout=STANDARD_ERROR, check=False).returncode


class CallKeyCopy:
    """The Secret of call keys in a cluster. An annotation of it says since when the cluster has this text."""

    def __init__(self, kubeconfig: str) -> None:
        self._kubeconfig = kubeconfig

    def held(self) -> Held | None:
        """Return what the cluster has, None when there is no such Secret. Raises OSError, and ValueError."""
        words = ["--namespace", NAMESPACE, "get", "secret", CALL_KEYS, "--ignore-not-found", "--output", "json"]
        done = subprocess.run(
            ["kubectl", "--kubeconfig", self._kubeconfig, *words], stdout=subprocess.PIPE, check=False
        )
        if done.returncode:
            raise ValueError(f"kubectl cannot read the secret {CALL_KEYS}: it ended with status {done.returncode}")
        if not done.stdout.strip():
            return None
        found = json.loads(done.stdout)
        text = base64.b64decode(found.get("data", {}).get(CALL_KEYS_FILE, "")).decode(errors="replace")
        return Held(text, _seconds(found["metadata"].get("annotations", {}).get(SINCE, "")))

    def copy(self, text: str, now_s: float) -> None:
        """Make the cluster have this text. Raises OSError, and ValueError when kubectl fails."""
        held = self.held()
        if held is not None and held.text == text and held.since_s:
            return
        since = datetime.fromtimestamp(now_s, UTC).isoformat(timespec="seconds")
        if status := apply(self._kubeconfig, manifest(CALL_KEYS, {CALL_KEYS_FILE: text}, {SINCE: since})):
            raise ValueError(
                f"kubectl cannot write the secret {CALL_KEYS}: it ended with status {status}. The keys are in Secrets "
                "Manager; when kubectl works, copy them with `glossa call-keys create`, which changes no key"
            )


def _seconds(text: str) -> float:
    """Return a time of an annotation in seconds since 1970, 0.0 when it is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


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
        stored = create(client, asked.call_keys)
        if not asked.kubeconfig:
            return 0
        CallKeyCopy(asked.kubeconfig).copy(stored.text, stored.now_s)
        if not asked.redis:
            return 0
        password = json.loads(client.get_secret_value(SecretId=asked.redis)["SecretString"])[REDIS_FIELD]
    except (BotoCoreError, ClientError, OSError, ValueError, KeyError) as error:
        print(f"the secrets cannot be copied: {error}", file=sys.stderr)
        return 1
    return apply(asked.kubeconfig, manifest(REDIS, {REDIS_FIELD: str(password)}))


if __name__ == "__main__":
    sys.exit(main())
