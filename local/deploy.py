"""Deploys the template onto the emulator with `sam deploy`.

The template is the one for AWS; only its parameters differ. A tag of the stack holds the digest of its sources, so that
an unchanged stack is not deployed again. Must not know what the functions do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local import emulator
from local.build import architecture, build, digest, sam
from local.workspace import Workspace

STACK = "glossa"
PACKAGES = "glossa-packages"
CALL_KEYS = "glossa-call-keys"
TAG = "glossa-digest"
DEPLOY_S = 300.0


def client(workspace: Workspace, service: str) -> Any:
    """Return a boto3 client of this stack's emulator."""
    import boto3  # noqa: PLC0415 - takes 300 ms, which `down` and `status` do not need

    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": emulator.REGION}
    return boto3.client(service, endpoint_url=emulator.endpoint(workspace), **keys)


def parameters(replica_url: str, call_keys_secret: str) -> dict[str, str]:
    """Return the parameters of a local stack. Nothing else tells it from a stack on AWS."""
    return {
        "Auth": "none",
        "Environment": "local",
        "Architecture": architecture(),
        "ReplicaUrl": replica_url,
        "CallKeysSecretArn": call_keys_secret,
        "Page": "on",
    }


def store_call_keys(workspace: Workspace) -> str:
    """Store the keys of this workspace as a secret of the emulator; return its ARN."""
    text, secrets = workspace.call_keys.read_text(encoding="utf-8"), client(workspace, "secretsmanager")
    try:
        return str(secrets.create_secret(Name=CALL_KEYS, SecretString=text)["ARN"])
    except secrets.exceptions.ResourceExistsException:
        return str(secrets.put_secret_value(SecretId=CALL_KEYS, SecretString=text)["ARN"])


def deploy(workspace: Workspace, replica_url: str) -> bool:
    """Build and deploy, unless the running stack has the same sources and parameters; return whether it deployed.

    Raises RuntimeError with sam's last lines.
    """
    given = parameters(replica_url, store_call_keys(workspace))
    mark = hashlib.sha256(json.dumps([digest(workspace.root), given], sort_keys=True).encode()).hexdigest()
    current = describe(workspace)
    if current is not None and current["tags"].get(TAG) == mark:
        return False
    print("template.yaml: building and deploying; this takes about a minute", flush=True)
    build(workspace, "host", given["Architecture"], workspace.build)
    deploy_built(workspace, given, STACK, mark)
    return True


def deploy_built(workspace: Workspace, given: Mapping[str, str], name: str, mark: str) -> None:
    """Deploy what is built as a stack of this name. Raises RuntimeError with sam's last lines."""
    template = workspace.build / "template.yaml"
    client(workspace, "s3").create_bucket(Bucket=PACKAGES)
    command: list[str | Path] = ["deploy", "--template-file", template, "--stack-name", name, "--s3-bucket", PACKAGES]
    command += ["--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-fail-on-empty-changeset"]
    command += ["--no-progressbar", "--tags", f"{TAG}={mark}"]
    command += ["--parameter-overrides", *(f"{name}={value}" for name, value in given.items())]
    env = {**emulator.CREDENTIALS, "AWS_ENDPOINT_URL": emulator.endpoint(workspace), "SAM_CLI_POLL_DELAY": "0.5"}
    nothing = str(workspace.state / "none")  # keeps the caller's own AWS profile out
    sam(workspace, command, {**env, "AWS_CONFIG_FILE": nothing, "AWS_SHARED_CREDENTIALS_FILE": nothing}, DEPLOY_S)


def describe(workspace: Workspace, name: str = STACK) -> Mapping[str, Any] | None:
    """Return the `outputs` and `tags` of the deployed stack, or None when no deployment is complete."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - slow, as boto3 is

    try:
        stack = client(workspace, "cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    except ClientError:
        return None
    if stack["StackStatus"] not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
        return None
    return {
        "outputs": {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])},
        "tags": {tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])},
    }
