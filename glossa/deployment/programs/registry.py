"""Signs an image builder in to a repository of images, pushes an image, or copies one from elsewhere.

    python -m glossa.deployment.programs.registry --builder docker --region R --repository URI sign-in
    python -m … push --image URI:TAG --notes FILE --fact NAME
    python -m … copy --from IMAGE --tag TAG [--notes FILE --fact NAME]

Tags of a repository cannot be moved, so an image that is there is not pushed again. A push or a copy notes the digest,
because stacks and pods name images by digest. The password goes to the builder's standard input, never onto a command
line. Must not know what is in an image.
"""

from __future__ import annotations

import argparse
import base64
import subprocess
import sys
from pathlib import Path
from typing import Any

from glossa.deployment.names import IMAGE_PLATFORM
from glossa.deployment.runner import note


def sign_in(client: Any, builder: str, repository: str) -> int:
    """Sign the builder in to the registry of a repository; return its exit status."""
    (given,) = client.get_authorization_token()["authorizationData"]
    user, _, password = base64.b64decode(given["authorizationToken"]).decode().partition(":")
    command = [builder, "login", "--username", user, "--password-stdin", repository.partition("/")[0]]
    return subprocess.run(command, input=password.encode(), check=False).returncode


def digest_of(client: Any, repository: str, tag: str) -> str | None:
    """Return the digest of the image with a tag, None when there is none."""
    try:
        found = client.describe_images(repositoryName=repository.partition("/")[2], imageIds=[{"imageTag": tag}])
    except client.exceptions.ImageNotFoundException:
        return None
    return str(found["imageDetails"][0]["imageDigest"])


def push(client: Any, builder: str, repository: str, tag: str) -> int:
    """Push an image unless its tag is there; return the builder's exit status."""
    if digest_of(client, repository, tag) is not None:
        print(f"{repository}:{tag} is there")
        return 0
    return subprocess.run([builder, "push", f"{repository}:{tag}"], check=False).returncode


def copy(client: Any, builder: str, repository: str, source: str, tag: str) -> int:
    """Copy an image of another registry into a repository, unless its tag is there; return the exit status.

    It is the image for the nodes, which may have other processors than this machine.
    """
    if digest_of(client, repository, tag) is not None:
        print(f"{repository}:{tag} is there")
        return 0
    for words in (["pull", "--platform", IMAGE_PLATFORM, source], ["tag", source, f"{repository}:{tag}"]):
        if status := subprocess.run([builder, *words], check=False).returncode:
            return status
    return push(client, builder, repository, tag)


def arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(prog="python -m glossa.deployment.programs.registry")
    for name in ("--builder", "--region", "--repository"):
        parser.add_argument(name, required=True)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("sign-in")
    pushing = verbs.add_parser("push")
    pushing.add_argument("--image", required=True)
    pushing.add_argument("--notes", type=Path, required=True)
    pushing.add_argument("--fact", required=True)
    copying = verbs.add_parser("copy")
    copying.add_argument("--from", dest="source", required=True)
    copying.add_argument("--tag", required=True)
    copying.add_argument("--notes", type=Path)
    copying.add_argument("--fact")
    return parser.parse_args()


def main() -> int:
    """Run one of the three; return the builder's exit status, or 1 with what the registry refused."""
    asked = arguments()

    import boto3  # noqa: PLC0415 - takes 300 ms, which `--help` does not need
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow, as boto3 is

    try:
        return _run(boto3.client("ecr", region_name=asked.region), asked)
    except (BotoCoreError, ClientError) as error:
        print(f"repository {asked.repository} refused {asked.verb}: {error}", file=sys.stderr)
        return 1


def _run(client: Any, asked: argparse.Namespace) -> int:
    if asked.verb == "sign-in":
        return sign_in(client, asked.builder, asked.repository)
    if asked.verb == "copy":
        tag, status = asked.tag, copy(client, asked.builder, asked.repository, asked.source, asked.tag)
    else:
        tag = asked.image.removeprefix(asked.repository + ":")
        status = push(client, asked.builder, asked.repository, tag)
    if status == 0 and asked.notes is not None:
        note(asked.notes, {asked.fact: f"{asked.repository}@{digest_of(client, asked.repository, tag)}"})
    return status


if __name__ == "__main__":
    sys.exit(main())
