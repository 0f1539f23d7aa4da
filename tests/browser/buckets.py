"""Buckets in memory whose signed forms and links work over HTTP, as those of S3 do.

Must not know jobs.
"""

from __future__ import annotations

from email import message_from_bytes
from email.policy import HTTP
from urllib.parse import quote, unquote

from functions.jobs.storage.contracts import SignedPost
from functions.jobs.storage.in_memory.objects import InMemoryObjects

PLACE = "/bucket/"


class HttpBuckets(InMemoryObjects):
    """Objects in memory. Forms and links name `address`, where a server gives requests to `post` and `get`."""

    def __init__(self, address: str) -> None:
        super().__init__(versioned=True)
        self.address = address

    def sign_post(self, bucket: str, key: str, *, max_bytes: int, expires_s: int) -> SignedPost:
        """Return a form for one object. It never expires."""
        del max_bytes, expires_s
        return SignedPost(f"{self.address}{PLACE}{bucket}", {"key": key})

    def sign_get(self, bucket: str, key: str, *, expires_s: int) -> str:
        """Return a link to an object."""
        del expires_s
        return f"{self.address}{PLACE}{bucket}/{quote(key)}?signed=1"

    def post(self, path: str, content_type: str, body: bytes) -> int:
        """Take a form; return the status."""
        form = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body, policy=HTTP)
        parts = {str(part.get_param("name", header="content-disposition")): part for part in form.iter_parts()}  # type: ignore[attr-defined] # of an EmailMessage
        key = parts["key"].get_content().strip()
        self.put(path.removeprefix(PLACE), key, parts["file"].get_payload(decode=True))
        return 204

    def get(self, path: str) -> bytes:
        """Return an object."""
        bucket, _, key = unquote(path.removeprefix(PLACE)).partition("/")
        return b"".join(self.read(bucket, key))
