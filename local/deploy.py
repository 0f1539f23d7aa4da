"""`sam deploy` of the built, unmodified template onto the emulator; only parameters differ from AWS.

The stack carries the digest of what it was made of as a tag, so that an unchanged stack is left alone.
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
TAG = "glossa-digest"
DEPLOY_S = 300.0


def client(workspace: Workspace, service: str) -> Any:
    """Return a boto3 client of this stack's emulator."""
    import boto3  # noqa: PLC0415 - 300 ms that `down` and `status` need not pay

    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": emulator.REGION}
    return boto3.client(service, endpoint_url=emulator.endpoint(workspace), **keys)


def parameters(replica_url: str) -> dict[str, str]:
    """Return the parameters of a local stack: all that tells it from one on AWS."""
    return {"Auth": "none", "Environment": "local", "Architecture": architecture(), "ReplicaUrl": replica_url}


def deploy(workspace: Workspace, replica_url: str) -> bool:
    """Build and deploy, unless the stack that stands was made of the same; return whether it did anything.

    Raises RuntimeError with what sam said.
    """
    given = parameters(replica_url)
    mark = hashlib.sha256(json.dumps([digest(workspace.root), given], sort_keys=True).encode()).hexdigest()
    standing = describe(workspace)
    if standing is not None and standing["tags"].get(TAG) == mark:
        return False
    template = build(workspace, "host", given["Architecture"], workspace.build)
    client(workspace, "s3").create_bucket(Bucket=PACKAGES)
    command: list[str | Path] = ["deploy", "--template-file", template, "--stack-name", STACK, "--s3-bucket", PACKAGES]
    command += ["--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-fail-on-empty-changeset"]
    command += ["--no-progressbar", "--tags", f"{TAG}={mark}"]
    command += ["--parameter-overrides", *(f"{name}={value}" for name, value in given.items())]
    env = {**emulator.CREDENTIALS, "AWS_ENDPOINT_URL": emulator.endpoint(workspace), "SAM_CLI_POLL_DELAY": "0.5"}
    nothing = str(workspace.state / "none")  # no profile of the caller's
    sam(workspace, command, {**env, "AWS_CONFIG_FILE": nothing, "AWS_SHARED_CREDENTIALS_FILE": nothing}, DEPLOY_S)
    return True


def describe(workspace: Workspace) -> Mapping[str, Any] | None:
    """Return the standing stack's `outputs` and `tags`, None when there is none that is complete."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - comes with boto3

    try:
        stack = client(workspace, "cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    except ClientError:
        return None
    if stack["StackStatus"] not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
        return None
    return {
        "outputs": {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])},
        "tags": {tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])},
    }
