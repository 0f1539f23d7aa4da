"""Checks that an image that is there is not pushed again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from glossa.deployment.programs.registry import copy, digest_of, push, sign_in

MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
URI = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/glossa"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a client of a registry in memory with an empty repository."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        made = boto3.client("ecr", region_name="eu-central-1")
        made.create_repository(repositoryName="glossa", imageTagMutability="IMMUTABLE")
        yield made


def test_a_tag_that_is_there_is_known(client: Any) -> None:
    """Tags cannot be moved, so a push of one that is there would fail."""
    assert digest_of(client, URI, "abc-cpu") is None
    manifest = '{"schemaVersion": 2, "config": {"digest": "sha256:1"}, "layers": []}'
    client.put_image(
        repositoryName="glossa", imageTag="abc-cpu", imageManifest=manifest, imageManifestMediaType=MEDIA_TYPE
    )
    assert str(digest_of(client, URI, "abc-cpu")).startswith("sha256:")
    assert push(client, "/no/builder/is/needed", URI, "abc-cpu") == 0


def test_the_password_goes_to_standard_input_alone(client: Any, tmp_path: Path) -> None:
    """The builder is asked to read the password, and no argument holds it."""
    builder = tmp_path / "builder"
    builder.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/words\ncat > {tmp_path}/password\n', encoding="utf-8")
    builder.chmod(0o755)
    assert sign_in(client, str(builder), URI) == 0
    words = (tmp_path / "words").read_text(encoding="utf-8")
    password = (tmp_path / "password").read_text(encoding="utf-8")
    assert words == "login --username AWS --password-stdin 123456789012.dkr.ecr.eu-central-1.amazonaws.com\n"
    assert password
    assert password not in words


def test_a_copied_image_is_for_the_processors_of_the_nodes(client: Any, tmp_path: Path) -> None:
    """A machine with other processors would otherwise pull an image that no node can start."""
    builder = tmp_path / "builder"
    builder.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/words\n', encoding="utf-8")
    builder.chmod(0o755)
    assert copy(client, str(builder), URI, "quay.io/a/b:v1", "v1") == 0
    lines = (tmp_path / "words").read_text(encoding="utf-8").splitlines()
    assert lines == ["pull --platform linux/amd64 quay.io/a/b:v1", f"tag quay.io/a/b:v1 {URI}:v1", f"push {URI}:v1"]
