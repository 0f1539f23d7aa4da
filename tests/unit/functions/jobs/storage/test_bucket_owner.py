"""Every call to S3 names the account that must own the bucket."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

import functions
from functions.jobs.storage import s3_objects
from functions.jobs.storage.contracts import ObjectStore
from functions.jobs.storage.s3_objects import S3Objects

OWNER = "123456789012"
CALLS: dict[str, Any] = {
    "head": lambda objects: objects.head("b", "k", "v"),
    "read": lambda objects: list(objects.read("b", "k", version="v", start=1, end=2)),
    "put_new": lambda objects: objects.put_new("b", "k", b"x", content_type="text/plain", metadata={}),
    "list": lambda objects: objects.list("b", "p", after="a"),
    "erase": lambda objects: objects.erase("b", "p"),
    "sign_post": lambda objects: objects.sign_post("b", "k", max_bytes=1, expires_s=1),
    "sign_get": lambda objects: objects.sign_get("b", "k", expires_s=1),
}
SIGNED = {
    "generate_presigned_post",
    "generate_presigned_url",
}  # S3 takes the owner in a header, which a link cannot set


class Recorder:
    """An S3 client that answers a little and keeps the arguments of each call."""

    class exceptions:  # noqa: N801 - boto3's name
        """The errors of the client."""

        ClientError = botocore.exceptions.ClientError

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        """Return a method that records its call."""

        def call(*_: Any, **how: Any) -> Any:
            self.calls.append((name, how))
            version = {"Key": "k", "VersionId": "v"}
            answers: dict[str, Any] = {
                "head_object": {"ContentLength": 1}, "get_object": {"Body": _Body(), "ContentRange": "x"},
                "list_object_versions": {"Versions": [version]}, "generate_presigned_post": {"url": "u", "fields": {}},
            }  # fmt: skip
            return answers.get(name, {})

        return call


class _Body:
    def iter_chunks(self, _size: int) -> list[bytes]:
        return [b"x"]

    def close(self) -> None:
        """Do nothing."""


def without_owner(owner: str) -> set[str]:
    """Use every operation of the contract; return the calls to S3 that name no owner or another one."""
    client = Recorder()
    objects = S3Objects(lambda: client, owner)
    for use in CALLS.values():
        use(objects)
    return {name for name, how in client.calls if how.get("ExpectedBucketOwner") != OWNER}


def test_every_operation_of_the_contract_is_used() -> None:
    """The table above has each method of an object store, so that none is forgotten."""
    assert set(CALLS) == {name for name, _ in inspect.getmembers(ObjectStore, inspect.isfunction) if name[0] != "_"}


def test_every_call_names_the_owner() -> None:
    """Only signed forms and links do not."""
    assert without_owner(OWNER) == SIGNED


def test_the_check_can_fail() -> None:
    """Without an owner, as on an emulator that has no account, no call names one."""
    calls = {
        node.attr for node in ast.walk(ast.parse(inspect.getsource(s3_objects))) if isinstance(node, ast.Attribute)
    }
    sent = without_owner("")
    assert sent > SIGNED
    assert sent <= calls


def test_no_other_file_of_the_functions_makes_an_s3_client() -> None:
    """A client of S3 is made in one place, for these operations."""
    found = [
        path.name for path in Path(str(functions.__file__)).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and any(isinstance(a, ast.Constant) and a.value == "s3" for a in node.args)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) in {"_client", "client", "resource"}
    ]  # fmt: skip
    assert found == ["aws.py"]


@pytest.mark.parametrize("effect", ["head", "list", "put_new"])
def test_a_bucket_of_another_account_is_refused(effect: str) -> None:
    """The error of S3 is raised as it is: the bucket is not ours, and no later try helps."""

    class Refusing(Recorder):
        def __getattr__(self, name: str) -> Any:
            def refuse(**_: Any) -> None:
                raise botocore.exceptions.ClientError({"Error": {"Code": "AccessDenied"}}, name)

            return refuse

    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        CALLS[effect](S3Objects(Refusing, OWNER))
