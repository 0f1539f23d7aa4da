"""The jobs API and signed links, as the command line calls them: JSON in and out, files streamed.

Requests to AWS are signed with the caller's own credentials. Must not know arguments or terminals.
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

from shared.errors import BadRequest, GlossaError, NotFound, ReplicaError, Unavailable, from_problem

TIMEOUT_S = 35.0
CHUNK_BYTES = 1 << 20
FIRST_FAULT = 400
PAGE = 100
_AWS_HOST = re.compile(r"[a-z0-9-]+\.execute-api\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?")


@dataclass(frozen=True, slots=True)
class Reply:
    """A status and the body in chunks."""

    status: int
    chunks: Iterable[bytes]

    def read(self) -> bytes:
        """Return the whole body."""
        return b"".join(self.chunks)


class Web(Protocol):
    """Sends a request. Raises Unavailable when there is no answer."""

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | BinaryIO | None) -> Reply:
        """Return the answer."""
        ...


class HttpWeb:
    """The contract over urllib3; opens nothing until it is used."""

    def __init__(self) -> None:
        import urllib3  # noqa: PLC0415 - only these commands need it

        self._errors = urllib3.exceptions.HTTPError
        self._pool = urllib3.PoolManager(retries=False, timeout=TIMEOUT_S)

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | BinaryIO | None) -> Reply:
        """Return the answer."""
        try:
            reply = self._pool.request(method, url, headers=dict(headers), body=body, preload_content=False)
        except self._errors as error:
            raise Unavailable(f"no answer from {urlsplit(url).netloc}: {type(error).__name__}") from None
        return Reply(reply.status, reply.stream(CHUNK_BYTES))


@dataclass(frozen=True)
class BatchClient:
    """Calls the jobs API at `base_url` (stage included). Raises GlossaError as the API says, Unavailable."""

    base_url: str
    web: Web = field(default_factory=HttpWeb)

    def submit(self, body: Mapping[str, Any], files: Mapping[str, Path], key: str | None = None) -> dict[str, Any]:
        """Make a job, upload its files and start it; returns the job as it was made. `key` makes it repeatable.

        An empty key goes out as it is, and is refused there; without one each call makes a job of its own.
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

    def pages(self, path: str, name: str) -> Iterator[dict[str, Any]]:
        """Yield what is listed at a path under `name`, page after page."""
        for page in self.walk(path):
            yield from page[name]

    def walk(self, path: str) -> Iterator[dict[str, Any]]:
        """Yield the pages of what is listed at a path, one at least."""
        query: dict[str, str] = {"page_size": str(PAGE)}
        while True:
            page = self.call("GET", path, query=query)
            yield page
            if page["next"] is None:
                return
            query["cursor"] = page["next"]

    def download(self, part: Mapping[str, Any]) -> Iterator[bytes]:
        """Yield a part's bytes. Raises ReplicaError at the end when they are not those that its digest names."""
        reply = self.web.send("GET", part["url"], {}, None)
        if reply.status >= FIRST_FAULT:
            raise Unavailable(f"the link of {part['key']} answered {reply.status}; links are good for an hour")
        digest = hashlib.sha256()
        for chunk in reply.chunks:
            digest.update(chunk)
            yield chunk
        if digest.hexdigest() != part["sha256"]:
            raise ReplicaError(f"got {part['key']} with sha256 {digest.hexdigest()}, expected {part['sha256']}")

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Call a route; return its JSON object."""
        url = self.base_url.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
        data = b"" if body is None else json.dumps(body).encode()
        sent = _signed(method, url, {"content-type": "application/json", **(headers or {})}, data)
        reply = self.web.send(method, url, sent, data)
        raw = reply.read()
        try:
            read = json.loads(raw or b"{}")
        except ValueError:
            read = None
        if not isinstance(read, dict):
            raise ReplicaError(f"got {reply.status} and no JSON object from {url}, expected the jobs API there")
        if reply.status >= FIRST_FAULT:
            raise _error(reply.status, read)
        return read

    def _upload(self, form: Mapping[str, Any], file: BinaryIO, n_bytes: int) -> None:
        if n_bytes > form["max_bytes"]:
            raise BadRequest(f"got {form['name']} of {n_bytes} bytes, at most {form['max_bytes']}")
        body = MultipartBody(form["fields"], form["name"], file, n_bytes)
        headers = {"content-type": body.content_type, "content-length": str(body.n_bytes)}
        reply = self.web.send("POST", form["url"], headers, body)  # type: ignore[arg-type] # of a file, read() is what is used
        if reply.status >= FIRST_FAULT:
            raise Unavailable(f"the upload of {form['name']} was refused with {reply.status}: {reply.read()[:300]!r}")
        reply.read()


class MultipartBody:
    """A form of fields and one file, read as a stream of known length, so that no file is held in memory."""

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
        """Return up to `size` bytes, or what is at hand; b"" at the end."""
        if not self._rest:
            self._rest = self._file.read(size)
        if not self._rest:
            self._rest, self._after = self._after, b""
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece


def _signed(method: str, url: str, headers: dict[str, str], data: bytes) -> dict[str, str]:
    """Sign a request to API Gateway; others are local and stay as they are. Raises BadRequest without credentials."""
    host = _AWS_HOST.fullmatch(urlsplit(url).hostname or "")
    if host is None:
        return headers
    from botocore.auth import SigV4Auth  # noqa: PLC0415 - 300 ms that only a real account needs
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415 - likewise
    from botocore.session import get_session  # noqa: PLC0415 - likewise

    credentials = get_session().get_credentials()
    if credentials is None:
        raise BadRequest("got no AWS credentials, expected some: the API takes signed requests")
    request = AWSRequest(method=method, url=url, headers=headers, data=data)
    SigV4Auth(credentials, "execute-api", host["region"]).add_auth(request)
    return dict(request.headers.items())


def _error(status: int, problem: Mapping[str, Any]) -> GlossaError:
    if "code" in problem:
        return from_problem(status, problem)
    kind = NotFound if status == NotFound.status else BadRequest
    return kind(f"the API answered {status}: {problem.get('message', problem)}")
