"""Objects in memory, for tests, simulations and jobs within one process.

Keeps every version of an object, as a versioned bucket does. With `versioned=False` it keeps the newest only.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping

from functions.jobs.storage.contracts import CHUNK_BYTES, Listed, SignedPost, Stored
from shared.errors import Conflict, NotFound


class InMemoryObjects:
    """Buckets of objects in a dict. Signed addresses use the scheme `memory:`, and nobody can open them."""

    def __init__(self, *, versioned: bool = True) -> None:
        self._versioned = versioned
        self._versions: dict[tuple[str, str], list[tuple[Stored, bytes]]] = {}
        self._lock = threading.Lock()

    def put(self, bucket: str, key: str, data: bytes, metadata: Mapping[str, str] | None = None) -> Stored:
        """Write an object as an outside client would: as a new version, or over the old object."""
        with self._lock:
            return self._put(bucket, key, data, metadata or {})

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object with all its versions."""
        with self._lock:
            self._versions.pop((bucket, key), None)

    def head(self, bucket: str, key: str, version: str = "") -> Stored | None:
        """Return what is known of an object, or None. Without a `version`, the newest one is meant."""
        found = self._find(bucket, key, version)
        return found[0] if found else None

    def read(
        self, bucket: str, key: str, *, version: str = "", etag: str = "", start: int = 0, end: int | None = None
    ) -> Iterator[bytes]:
        """Yield the bytes [start, end) in chunks. Raises NotFound, Conflict."""
        if end is not None and end <= start:
            return
        found = self._find(bucket, key, version)
        if found is None:
            raise NotFound(f"no object {key!r} in that version")
        stored, data = found
        if etag and not version and stored.etag != etag:
            raise Conflict(f"object {key!r} was overwritten after it was accepted")
        if start and start >= len(data):
            raise Conflict(f"object {key!r} is shorter than it was")
        stop = len(data) if end is None else min(end, len(data))
        for at in range(start, stop, CHUNK_BYTES):
            yield data[at : min(at + CHUNK_BYTES, stop)]

    def put_new(
        self,
        bucket: str,
        key: str,
        data: bytes,
        *,
        content_type: str,  # noqa: ARG002 - part of the contract; nothing here serves objects over HTTP
        metadata: Mapping[str, str],
    ) -> bool:
        """Write an object unless its key is taken; return True when it was written."""
        with self._lock:
            if (bucket, key) in self._versions:
                return False
            self._put(bucket, key, data, metadata)
            return True

    def list(self, bucket: str, prefix: str, *, after: str = "", limit: int = 1000) -> Listed:
        """Return up to `limit` objects whose key begins with `prefix` and comes after `after`."""
        with self._lock:
            found = [versions[-1][0] for (b, k), versions in self._versions.items() if b == bucket]
        # S3 sorts keys by their UTF-8 bytes; that is the order of their code points.
        keys = sorted((s for s in found if s.key.startswith(prefix) and s.key > after), key=lambda s: s.key)
        return Listed(tuple(Stored(s.key, s.size_bytes, s.etag) for s in keys[:limit]), len(keys) > limit)

    def erase(self, bucket: str, prefix: str) -> int:
        """Remove all versions of all objects whose key begins with `prefix`; return how many."""
        with self._lock:
            erased = [name for name in self._versions if name[0] == bucket and name[1].startswith(prefix)]
            return sum(len(self._versions.pop(name)) for name in erased)

    def sign_post(self, bucket: str, key: str, *, max_bytes: int, expires_s: int) -> SignedPost:
        """Return a form that names the upload; nobody can post it."""
        return SignedPost(f"memory://{bucket}", {"key": key, "max_bytes": str(max_bytes), "expires_s": str(expires_s)})

    def sign_get(self, bucket: str, key: str, *, expires_s: int) -> str:
        """Return an address that names the download; nobody can open it."""
        return f"memory://{bucket}/{key}?expires_s={expires_s}"

    def _find(self, bucket: str, key: str, version: str) -> tuple[Stored, bytes] | None:
        with self._lock:
            versions = self._versions.get((bucket, key), [])
            return next((each for each in reversed(versions) if version in {"", each[0].version}), None)

    def _put(self, bucket: str, key: str, data: bytes, metadata: Mapping[str, str]) -> Stored:
        versions = self._versions.setdefault((bucket, key), [])
        version = f"v{len(versions) + 1}" if self._versioned else ""
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        stored = Stored(key, len(data), etag, version, hashlib.sha256(data).hexdigest(), dict(metadata))
        if not self._versioned:
            versions.clear()
        versions.append((stored, bytes(data)))
        return stored
