"""The object store contract over S3.

Streams ranges of objects, writes only keys that are not taken, and signs uploads and downloads. Must not know what an
object holds.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from functools import cached_property
from typing import Any

from functions.jobs.storage.contracts import CHUNK_BYTES, Listed, SignedPost, Stored
from shared.errors import Conflict, NotFound, Unavailable

MAX_PUT_TRIES = 4
MAX_ERASE_KEYS = 1000  # of one call to S3


class S3Objects:
    """The buckets of S3. `make_client` is called at the first use; signed addresses name the client's endpoint.

    Each call names the account `owner`, so that S3 refuses a bucket that another account made under the same name. With
    "" no owner is named. Signed forms and links cannot name one: S3 takes the owner only in a header of the request.
    """

    def __init__(self, make_client: Callable[[], Any], owner: str = "") -> None:
        self._make_client = make_client
        self._owned = {"ExpectedBucketOwner": owner} if owner else {}

    @cached_property
    def _client(self) -> Any:
        return self._make_client()

    def head(self, bucket: str, key: str, version: str = "") -> Stored | None:
        """Return what is known of an object, or None. Without a `version`, the newest one is meant."""
        which = {"VersionId": version} if version else {}
        try:
            found = self._client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED", **self._owned, **which)
        except self._client.exceptions.ClientError as error:
            if _code(error) in _MISSING or (_code(error) in _DENIED and self._is_missing(bucket, key, version)):
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
            answer = self._client.get_object(Bucket=bucket, Key=key, **self._owned, **which, **span)
        except self._client.exceptions.ClientError as error:
            if _code(error) in _DENIED and self._is_missing(bucket, key, version):
                raise NotFound(f"no object {key!r} in that version") from None
            raise _read_error(error, key) or error from None
        with closing(answer["Body"]) as body:
            chunks = body.iter_chunks(CHUNK_BYTES)
            yield from chunks if "ContentRange" in answer else _sliced(chunks, start, end)

    def put_new(self, bucket: str, key: str, data: bytes, *, content_type: str, metadata: Mapping[str, str]) -> bool:
        """Write an object unless its key is taken; return True when it was written. Raises Unavailable."""
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        for _ in range(MAX_PUT_TRIES):
            try:
                self._client.put_object(
                    Bucket=bucket, Key=key, Body=data, IfNoneMatch="*", ChecksumAlgorithm="SHA256",
                    ChecksumSHA256=digest, ContentType=content_type, Metadata=dict(metadata), **self._owned,
                )  # fmt: skip
            except self._client.exceptions.ClientError as error:
                if _code(error) in {"PreconditionFailed", "412"}:
                    return False
                if _code(error) not in {"ConditionalRequestConflict", "409"}:
                    raise
            else:
                return True
        raise Unavailable(f"writing one object met a concurrent write {MAX_PUT_TRIES} times", retry_after_s=1.0)

    def _is_missing(self, bucket: str, key: str, version: str) -> bool:
        """Whether an object to which S3 denied access does not exist.

        S3 says that an object does not exist only to those who may list the whole bucket. Our roles may list only
        prefixes, so this lists with the key as the prefix. The key itself is the first one that begins with it.
        """
        if version:
            page = self._client.list_object_versions(Bucket=bucket, Prefix=key)
            found = [(each["Key"], each["VersionId"]) for each in page.get("Versions", [])]
            return (key, version) not in found and not page.get("IsTruncated")
        first = self._client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", [])
        return [each["Key"] for each in first] != [key]

    def list(self, bucket: str, prefix: str, *, after: str = "", limit: int = 1000) -> Listed:
        """Return up to `limit` objects whose key begins with `prefix` and comes after `after`."""
        start_after = {"StartAfter": after} if after else {}
        page = self._client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=limit, **self._owned, **start_after)
        found = tuple(Stored(each["Key"], int(each["Size"]), _etag(each)) for each in page.get("Contents", []))
        return Listed(found, bool(page.get("IsTruncated")))

    def erase(self, bucket: str, prefix: str) -> int:
        """Remove up to 1,000 versions of objects under a prefix; return how many. Raises Unavailable."""
        page = self._client.list_object_versions(Bucket=bucket, Prefix=prefix, MaxKeys=MAX_ERASE_KEYS, **self._owned)
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        gone = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
        if not gone:
            return 0
        answer = self._client.delete_objects(Bucket=bucket, Delete={"Objects": gone, "Quiet": True}, **self._owned)
        if answer.get("Errors"):
            raise Unavailable(f"{len(answer['Errors'])} of {len(gone)} objects could not be removed", retry_after_s=1.0)
        return len(gone)

    def sign_post(self, bucket: str, key: str, *, max_bytes: int, expires_s: int) -> SignedPost:
        """Sign the upload of 0 to `max_bytes` bytes to exactly this key."""
        conditions = [["content-length-range", 0, max_bytes]]
        made = self._client.generate_presigned_post(bucket, key, Conditions=conditions, ExpiresIn=expires_s)
        return SignedPost(made["url"], made["fields"])

    def sign_get(self, bucket: str, key: str, *, expires_s: int) -> str:
        """Sign the download of an object; return its address."""
        params = {"Bucket": bucket, "Key": key}
        return str(self._client.generate_presigned_url("get_object", Params=params, ExpiresIn=expires_s))


def _sliced(chunks: Iterable[bytes], start: int, end: int | None) -> Iterator[bytes]:
    """Yield the range [start, end) of a whole object.

    HTTP lets a server answer a request for a range with the whole. Some do so when a version is named.
    """
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


_DENIED = {"403", "AccessDenied"}
_MISSING = {"404", "NoSuchKey", "NotFound", "NoSuchVersion"}


def _read_error(error: Any, key: str) -> Exception | None:
    """Return our own error for an object that cannot be read, or None for an error of the service."""
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
