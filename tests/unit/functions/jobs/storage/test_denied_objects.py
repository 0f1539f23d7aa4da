"""What the object store makes of a refusal. S3 also refuses missing objects, as our roles may not list a bucket."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest

from functions.jobs.storage.s3_objects import S3Objects
from shared.errors import NotFound


class Refusing:
    """An S3 client that may list prefixes and read nothing. It holds `keys`, each with its versions."""

    class exceptions:  # noqa: N801 - boto3's name
        """Has the error class, as a client of boto3 does."""

        class ClientError(Exception):
            """Carries its response, as botocore's error does."""

            def __init__(self, code: str) -> None:
                self.response = {"Error": {"Code": code}}

    def __init__(self, keys: dict[str, list[str]]) -> None:
        self.keys = keys

    def head_object(self, **_: object) -> NoReturn:
        """Refuse. The answer to HEAD has no body, so its code is the status."""
        raise self.exceptions.ClientError("403")

    def get_object(self, **_: object) -> NoReturn:
        """Refuse."""
        raise self.exceptions.ClientError("AccessDenied")

    def list_objects_v2(self, *, Prefix: str, MaxKeys: int, **_: object) -> dict[str, Any]:  # noqa: N803 - boto3's names
        """List the first keys under a prefix."""
        return {"Contents": [{"Key": key} for key in sorted(self.keys) if key.startswith(Prefix)][:MaxKeys]}

    def list_object_versions(self, *, Prefix: str, **_: object) -> dict[str, Any]:  # noqa: N803 - boto3's names
        """List all versions under a prefix."""
        found = [(key, version) for key in sorted(self.keys) for version in self.keys[key] if key.startswith(Prefix)]
        return {"Versions": [{"Key": key, "VersionId": version} for key, version in found], "IsTruncated": False}


@pytest.mark.parametrize(("key", "version"), [("t/a/x", ""), ("t/a/x", "v1"), ("t/a/there", "v2")])
def test_a_refused_object_that_is_not_listed_does_not_exist(key: str, version: str) -> None:
    """A refusal for a key or version that the listing lacks means that the object is missing."""
    objects = S3Objects(lambda: Refusing({"t/a/x-longer": ["v1"], "t/a/there": ["v1"]}))
    assert objects.head("b", key, version) is None
    with pytest.raises(NotFound):
        list(objects.read("b", key, version=version))


@pytest.mark.parametrize("version", ["", "v1"])
def test_a_refused_object_that_is_listed_is_a_refusal(version: str) -> None:
    """A refusal for an object that is there is raised as it came, and never taken for a missing object."""
    objects = S3Objects(lambda: Refusing({"t/a/there": ["v1"]}))
    with pytest.raises(Refusing.exceptions.ClientError):
        objects.head("b", "t/a/there", version)
    with pytest.raises(Refusing.exceptions.ClientError):
        list(objects.read("b", "t/a/there", version=version))
