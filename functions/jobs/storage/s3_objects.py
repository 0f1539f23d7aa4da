"""The door to S3, and the contract of every object store.

Streams ranges, writes only objects that are not there yet, signs uploads and downloads. Must
not know what an object holds.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from shared.errors import Conflict, NotFound, Unavailable

CHUNK_BYTES = 1 << 20
PUT_TRIES = 4
ERASE_MOST = 1000  # keys that one S3 call takes


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store says of an object. `version` and `sha256` (of the whole, hexadecimal) may be ""."""

    key: str
    size_bytes: int
    etag: str
    version: str = ""
    sha256: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of a listing in key order; `more` says that there are keys beyond the last."""

    objects: tuple[Stored, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class SignedPost:
    """A form that lets its holder upload one object: POST `fields` and then the `file` to `url`."""

    url: str
    fields: Mapping[str, str]


class ObjectStore(Protocol):
    """Buckets of objects. The memory store and S3's pass the same suite of tests."""

    def head(self, bucket: str, key: str, version: str = "") -> Stored | None:
        """Return what is known of an object (the newest version when none is named), or None."""
        ...

    def read(
        self, bucket: str, key: str, *, version: str = "", etag: str = "", start: int = 0, end: int | None = None
    ) -> Iterator[bytes]:
        """Yield the bytes [start, end) in chunks. `etag` guards reads without a version.

        Raises NotFound when the object or version is gone, Conflict when its etag is another.
        """
        ...

    def put_new(self, bucket: str, key: str, data: bytes, *, content_type: str, metadata: Mapping[str, str]) -> bool:
        """Write an object unless the key is taken; True when written. Raises Unavailable when others keep racing."""
        ...

    def list(self, bucket: str, prefix: str, *, after: str = "", limit: int = 1000) -> Listed:
        """Return up to `limit` objects whose key begins with `prefix` and is greater than `after`."""
        ...

    def erase(self, bucket: str, prefix: str) -> int:
        """Remove up to 1,000 versions of objects whose key begins with `prefix`; return how many (0: none left)."""
        ...

    def sign_post(self, bucket: str, key: str, *, max_bytes: int, expires_s: int) -> SignedPost:
        """Sign the upload of 0 to `max_bytes` bytes to exactly this key."""
        ...

    def sign_get(self, bucket: str, key: str, *, expires_s: int) -> str:
        """Sign the download of an object."""
        ...


class S3Objects:
    """The contract over S3; `client` is made at first use (its endpoint is what signed addresses name)."""

    def __init__(self, make_client: Callable[[], Any]) -> None:
        self._make_client = make_client

    @cached_property
    def _client(self) -> Any:
        return self._make_client()

    def head(self, bucket: str, key: str, version: str = "") -> Stored | None:
        """Return what is known of an object (the newest version when none is named), or None."""
        which = {"VersionId": version} if version else {}
        try:
            found = self._client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED", **which)
        except self._client.exceptions.ClientError as error:
            if _code(error) in _GONE:
                return None
            raise
        return Stored(
            key, int(found["ContentLength"]), _etag(found), _version(found), _sha256(found), found.get("Metadata", {})
        )

    def read(
        self, bucket: str, key: str, *, version: str = "", etag: str = "", start: int = 0, end: int | None = None
    ) -> Iterator[bytes]:
        """Yield the bytes [start, end) in chunks. Raises NotFound, Conflict."""
        if end is not None and end <= start:
            return
        which = {"VersionId": version} if version else {"IfMatch": f'"{etag}"'} if etag else {}
        span = {} if start == 0 and end is None else {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
        try:
            answer = self._client.get_object(Bucket=bucket, Key=key, **which, **span)
        except self._client.exceptions.ClientError as error:
            raise _read_error(error, key) or error from None
        with closing(answer["Body"]) as body:
            chunks = body.iter_chunks(CHUNK_BYTES)
            yield from chunks if "ContentRange" in answer else _sliced(chunks, start, end)

    def put_new(self, bucket: str, key: str, data: bytes, *, content_type: str, metadata: Mapping[str, str]) -> bool:
        """Write an object unless the key is taken; True when written. Raises Unavailable when others keep racing."""
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        for _ in range(PUT_TRIES):
            try:
                self._client.put_object(
                    Bucket=bucket, Key=key, Body=data, IfNoneMatch="*", ChecksumAlgorithm="SHA256",
                    ChecksumSHA256=digest, ContentType=content_type, Metadata=dict(metadata),
                )  # fmt: skip
            except self._client.exceptions.ClientError as error:
                if _code(error) in {"PreconditionFailed", "412"}:
                    return False
                if _code(error) not in {"ConditionalRequestConflict", "409"}:
                    raise
            else:
                return True
        raise Unavailable(f"writing one object met a concurrent write {PUT_TRIES} times", retry_after_s=1.0)

    def list(self, bucket: str, prefix: str, *, after: str = "", limit: int = 1000) -> Listed:
        """Return up to `limit` objects whose key begins with `prefix` and is greater than `after`."""
        beyond = {"StartAfter": after} if after else {}
        page = self._client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=limit, **beyond)
        found = tuple(Stored(each["Key"], int(each["Size"]), _etag(each)) for each in page.get("Contents", []))
        return Listed(found, bool(page.get("IsTruncated")))

    def erase(self, bucket: str, prefix: str) -> int:
        """Remove up to 1,000 versions of objects under a prefix; return how many. Raises Unavailable when some stay."""
        page = self._client.list_object_versions(Bucket=bucket, Prefix=prefix, MaxKeys=ERASE_MOST)
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        gone = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
        if not gone:
            return 0
        answer = self._client.delete_objects(Bucket=bucket, Delete={"Objects": gone, "Quiet": True})
        if answer.get("Errors"):
            raise Unavailable(f"{len(answer['Errors'])} of {len(gone)} objects could not be removed", retry_after_s=1.0)
        return len(gone)

    def sign_post(self, bucket: str, key: str, *, max_bytes: int, expires_s: int) -> SignedPost:
        """Sign the upload of 0 to `max_bytes` bytes to exactly this key."""
        conditions = [["content-length-range", 0, max_bytes]]
        made = self._client.generate_presigned_post(bucket, key, Conditions=conditions, ExpiresIn=expires_s)
        return SignedPost(made["url"], made["fields"])

    def sign_get(self, bucket: str, key: str, *, expires_s: int) -> str:
        """Sign the download of an object."""
        params = {"Bucket": bucket, "Key": key}
        return str(self._client.generate_presigned_url("get_object", Params=params, ExpiresIn=expires_s))


def _sliced(chunks: Iterable[bytes], start: int, end: int | None) -> Iterator[bytes]:
    """Cut a range out of a whole object: HTTP lets a server answer so, and some do when a version is named."""
    at = 0
    for chunk in chunks:
        piece = chunk[max(0, start - at) : None if end is None else max(0, end - at)]
        if piece:
            yield piece
        at += len(chunk)
        if end is not None and at >= end:
            return
    if start and at <= start:
        raise Conflict(f"got an object of {at} bytes, shorter than it was")


_GONE = {"404", "NoSuchKey", "NotFound", "NoSuchVersion"}


def _read_error(error: Any, key: str) -> Exception | None:
    """Return our own error for what an unreadable object means, or None for a fault of the service."""
    code = _code(error)
    if code in {"NoSuchKey", "NoSuchVersion", "404", "MethodNotAllowed"}:
        return NotFound(f"no object {key!r} in that version")
    if code in {"PreconditionFailed", "412"}:
        return Conflict(f"object {key!r} was overwritten after it was accepted")
    return Conflict(f"object {key!r} is shorter than it was") if code == "InvalidRange" else None


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _etag(found: Mapping[str, Any]) -> str:
    return str(found.get("ETag", "")).strip('"')


def _version(found: Mapping[str, Any]) -> str:
    version = str(found.get("VersionId") or "")
    return "" if version == "null" else version


def _sha256(found: Mapping[str, Any]) -> str:
    raw = found.get("ChecksumSHA256")
    return base64.b64decode(raw).hex() if raw and "-" not in raw else ""
