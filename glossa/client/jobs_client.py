"""Calls the jobs API: makes jobs, uploads their files, reads their status and downloads their results.

Files are streamed in both directions. A request carries an API key, if there is one. Without a key, a request to API
Gateway on AWS is signed with the caller's own credentials.
Must not know arguments or terminals.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import urlencode, urlsplit

from glossa.client.errors import BadAnswer, InvalidRequest, Unavailable, error_of

TIMEOUT_S = 35.0
CHUNK_BYTES = 1 << 20
FIRST_ERROR_STATUS = 400
PAGE_SIZE = 100
END_STATES = frozenset({"SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED"})
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
_VISIBLE = re.compile(r"[A-Za-z0-9._~+/=-]+")
_AWS_HOST = re.compile(r"[a-z0-9-]+\.execute-api\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?")


@dataclass(frozen=True, slots=True)
class Response:
    """A response: its HTTP status, and its body in chunks."""

    status: int
    chunks: Iterable[bytes]

    def read(self) -> bytes:
        """Return the whole body."""
        return b"".join(self.chunks)


class Transport(Protocol):
    """Sends a request. Raises Unavailable when there is no answer."""

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | BinaryIO | None) -> Response:
        """Return the response to one request."""
        ...


class Urllib3Transport:
    """A transport over urllib3. It opens no connection before the first request."""

    def __init__(self) -> None:
        import urllib3  # noqa: PLC0415 - slow, and only calls over HTTP need it

        self._errors = urllib3.exceptions.HTTPError
        self._pool = urllib3.PoolManager(retries=False, timeout=TIMEOUT_S)

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | BinaryIO | None) -> Response:
        """Return the response to one request."""
        try:
            response = self._pool.request(method, url, headers=dict(headers), body=body, preload_content=False)
        except self._errors as error:
            raise _no_answer(url, error) from None
        return Response(response.status, response.stream(CHUNK_BYTES))


@dataclass(frozen=True)
class JobsClient:
    """Calls the jobs API at `base_url`, which includes the stage. Its methods raise ApiError.

    `api_key` is sent as a Bearer token, to the API alone and never in the clear. It may also be a JWT.
    """

    base_url: str
    transport: Transport = field(default_factory=Urllib3Transport)
    api_key: str | None = field(default=None, repr=False)

    def submit(self, body: Mapping[str, Any], files: Mapping[str, Path], key: str | None = None) -> dict[str, Any]:
        """Make a job, upload its files and start it; return the job as it was made.

        `files` gives the path of each file name in `body`. Two calls with the same `key` make one job; without a key
        each call makes a new one. The API refuses an empty key.
        """
        headers = {"idempotency-key": uuid.uuid4().hex if key is None else key}
        made = self.call("POST", "/v1/jobs", body, headers=headers)
        for form in made["uploads"]:
            with files[form["name"]].open("rb") as file:
                self._upload(form, file, files[form["name"]].stat().st_size)
        self.call("POST", made["start"])
        return made

    def status(self, job: str) -> dict[str, Any]:
        """Return a job's status."""
        return self.call("GET", f"/v1/jobs/{job}")

    def items(self, path: str, name: str) -> Iterator[dict[str, Any]]:
        """Yield the items of a list, over all its pages; `name` is the field that holds them."""
        for page in self.pages(path):
            yield from page[name]

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """Yield the pages of a list; there is at least one."""
        query: dict[str, str] = {"page_size": str(PAGE_SIZE)}
        while True:
            page = self.call("GET", path, query=query)
            yield page
            if page["next"] is None:
                return
            query["cursor"] = page["next"]

    def download(self, part: Mapping[str, Any]) -> Iterator[bytes]:
        """Yield the bytes of a part. Raises BadAnswer after the last one when their digest is not the part's."""
        response = self.transport.send("GET", part["url"], {}, None)
        if response.status >= FIRST_ERROR_STATUS:
            raise Unavailable(f"the link of {part['key']} answered {response.status}; links are good for an hour")
        digest = hashlib.sha256()
        for chunk in response.chunks:
            digest.update(chunk)
            yield chunk
        if digest.hexdigest() != part["sha256"]:
            raise BadAnswer(f"got {part['key']} with sha256 {digest.hexdigest()}, expected {part['sha256']}")

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Call a route of the API; return the JSON object that it answers."""
        url = self.base_url.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
        data = b"" if body is None else json.dumps(body).encode()
        given = {"content-type": "application/json", **(headers or {})}
        sent = _with_key(url, given, self.api_key) if self.api_key else _signed(method, url, given, data)
        response = self.transport.send(method, url, sent, data)
        raw = response.read()
        try:
            read = json.loads(raw or b"{}")
        except ValueError:
            read = None
        if not isinstance(read, dict):
            raise BadAnswer(f"got {response.status} and no JSON object from {url}, expected the jobs API there")
        if response.status >= FIRST_ERROR_STATUS:
            raise error_of(response.status, read)
        return read

    def _upload(self, form: Mapping[str, Any], file: BinaryIO, n_bytes: int) -> None:
        if n_bytes > form["max_bytes"]:
            raise InvalidRequest(f"got {form['name']} of {n_bytes} bytes, at most {form['max_bytes']}")
        body = MultipartBody(form["fields"], form["name"], file, n_bytes)
        headers = {"content-type": body.content_type, "content-length": str(body.n_bytes)}
        response = self.transport.send("POST", form["url"], headers, body)  # type: ignore[arg-type] # only read() is used
        if response.status >= FIRST_ERROR_STATUS:
            answer = response.read()[:300]
            raise Unavailable(f"the upload of {form['name']} was refused with {response.status}: {answer!r}")
        response.read()


class MultipartBody:
    """A multipart form of fields and one file. It is read as a stream of known length, so no file is held in memory."""

    def __init__(self, fields: Mapping[str, str], name: str, file: BinaryIO, n_bytes: int) -> None:
        boundary = uuid.uuid4().hex
        head = [f'--{boundary}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        head.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n\r\n')
        before, after = "".join(head).encode(), f"\r\n--{boundary}--\r\n".encode()
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self.n_bytes = len(before) + n_bytes + len(after)
        self._file, self._after, self._rest = file, after, before

    def read(self, size: int = CHUNK_BYTES) -> bytes:
        """Return at least one and up to `size` bytes; b"" at the end."""
        if not self._rest:
            self._rest = self._file.read(size)
        if not self._rest:
            self._rest, self._after = self._after, b""
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece


def _no_answer(url: str, error: Exception) -> Unavailable:
    """Return the error of a request without an answer, with what to do about it."""
    parts = urlsplit(url)
    hint = f"check the address, and that this machine can reach {parts.hostname}"
    if parts.hostname in _THIS_MACHINE:
        hint = "start the service with `make run`, or check the address"
    return Unavailable(f"no answer from {parts.netloc}: {type(error).__name__}", hint=hint)


def _with_key(url: str, headers: dict[str, str], api_key: str) -> dict[str, str]:
    """Return the headers of a request with a key. Raises InvalidRequest where others could read or change them."""
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in _THIS_MACHINE:
        raise InvalidRequest(f"got {parts.scheme}://{parts.hostname} and an API key, expected https")
    if not _VISIBLE.fullmatch(api_key):
        raise InvalidRequest("got an API key with spaces or other characters, expected it as it was printed")
    return {**headers, "authorization": f"Bearer {api_key}"}


def _signed(method: str, url: str, headers: dict[str, str], data: bytes) -> dict[str, str]:
    """Return the headers of a request, signed if it goes to API Gateway on AWS.

    Raises InvalidRequest without credentials.
    """
    host = _AWS_HOST.fullmatch(urlsplit(url).hostname or "")
    if host is None:
        return headers
    from botocore.auth import SigV4Auth  # noqa: PLC0415 - takes 300 ms, and only calls to AWS need it
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415 - only calls to AWS need it
    from botocore.session import get_session  # noqa: PLC0415 - only calls to AWS need it

    credentials = get_session().get_credentials()
    if credentials is None:
        raise InvalidRequest("got no AWS credentials, expected some: the API takes signed requests")
    request = AWSRequest(method=method, url=url, headers=headers, data=data)
    SigV4Auth(credentials, "execute-api", host["region"]).add_auth(request)
    return dict(request.headers.items())
