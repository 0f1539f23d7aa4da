"""The calls of batch jobs as flows: make, upload, start, look, wait, stop, fetch results. Must not know httpx2."""

from __future__ import annotations

import hashlib
import re
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from glossa.client.answering import read_answer
from glossa.client.errors import ApiError, BadAnswer, Conflict, InvalidRequest, NotEnded
from glossa.client.flows import Api, Flow, Form, Pause, Request
from glossa.client.jobs.spec import JobSpec
from glossa.client.jobs.status import JobStatus, job_status

PAGE_SIZE = 100
HELD_BYTES = 8 << 20  # of a part in memory, until its digest is checked; the rest is on disk
_JOB_ID = re.compile(r"[0-9a-f]{32}")
LINK_HINT = "links are good for an hour"


@dataclass(frozen=True, slots=True)
class JobRef:
    """One job of an API, by its id."""

    api: Api
    id: str

    def __post_init__(self) -> None:
        """Refuse an id that would lead to another route."""
        if not _JOB_ID.fullmatch(self.id):
            raise InvalidRequest(f"got {self.id[:80]!r}, expected the id of a job: 32 of 0-9 a-f")

    @property
    def path(self) -> str:
        """The path of its routes."""
        return f"/v1/jobs/{self.id}"


def submit(api: Api, spec: JobSpec, *, key: str | None = None) -> Flow[JobRef]:
    """Make a job, upload its files and start it.

    While the job goes on, two calls with the same `key` make one job; without a key each call makes a new one.
    """
    body, files = spec.body(), spec.paths()
    headers = {"idempotency-key": uuid.uuid4().hex if key is None else key}
    made = (yield from api.call("POST", "/v1/jobs", body, headers=headers)).json
    ref, start, uploads = read_answer(lambda found: _made(api, found, files), made, "a new job")
    for form, upload in uploads:
        yield from _upload(api, form, upload)
    try:
        yield from api.call("POST", start)
    except Conflict:  # an attempt whose answer was lost may have started it, and it may have ended since
        if (yield from status(ref)).state == "CREATED":
            raise
    return ref


def status(ref: JobRef) -> Flow[JobStatus]:
    """Return how far the job is."""
    reply = yield from ref.api.call("GET", ref.path)
    return read_answer(job_status, reply.json, "a job")


def wait(
    ref: JobRef,
    *,
    timeout_s: float | None = None,
    every_s: float = 2.0,
    on_status: Callable[[JobStatus], object] | None = None,
    clock_s: Callable[[], float] = time.monotonic,
) -> Flow[JobStatus]:
    """Wait until the job has ended; return its last status. `on_status` is called with each status on the way.

    Raises NotEnded after `timeout_s` seconds. A job that failed raises nothing: its status says so.
    """
    ends_s = None if timeout_s is None else clock_s() + timeout_s
    while True:
        found = yield from status(ref)
        if on_status is not None:
            on_status(found)
        if found.ended:
            return found
        if ends_s is not None and clock_s() + every_s > ends_s:
            raise NotEnded(f"got job {ref.id} in state {found.state} after {timeout_s:g} s, expected its end")
        yield Pause(every_s)


def cancel(ref: JobRef) -> Flow[str]:
    """Stop the job; return its state."""
    reply = yield from ref.api.call("POST", f"{ref.path}/cancel")
    return read_answer(lambda found: str(found["state"]), reply.json, "cancel")


def redrive(ref: JobRef, *, generation: int | None = None) -> Flow[int]:
    """Answer the failed records of the ended job again; return the generation.

    `generation` names the end that you saw, so that two calls begin one redrive.
    """
    body = {} if generation is None else {"generation": generation}
    reply = yield from ref.api.call("POST", f"{ref.path}/redrive", body)
    return read_answer(lambda found: int(found["generation"]), reply.json, "redrive")


def delete(ref: JobRef) -> Flow[None]:
    """Remove the job, its uploads and its results."""
    yield from ref.api.call("DELETE", ref.path)


def statuses(api: Api, cursor: str | None) -> Flow[tuple[list[JobStatus], str | None]]:
    """Return one page of the jobs, and the cursor of the next one; None asks for the first."""
    found = yield from page(api, "/v1/jobs", cursor, ("jobs",))
    jobs = read_answer(lambda each: [job_status(job) for job in each["jobs"]], found, "a list of jobs")
    return jobs, found["next"]


def page(api: Api, path: str, cursor: str | None, names: Sequence[str]) -> Flow[dict[str, Any]]:
    """Return one page of a list, which has these names and `next`. A cursor of None asks for the first."""
    query = {"page_size": str(PAGE_SIZE), **({"cursor": cursor} if cursor else {})}
    found = (yield from api.call("GET", path, query=query)).json
    if missing := [name for name in (*names, "next") if name not in found]:
        raise BadAnswer(f"got a page of {path} without {missing[0]!r}, expected that of Glossa")
    return found


def open_part(ref: JobRef, part: Mapping[str, Any]) -> Flow[IO[bytes]]:
    """Fetch a part, or the manifest, through its link; return it as an open file, after its digest was checked.

    Raises BadAnswer when the digest is not the part's.
    """
    held: IO[bytes] = tempfile.SpooledTemporaryFile(HELD_BYTES)  # noqa: SIM115 - the caller closes it
    digest = hashlib.sha256()

    def keep(chunk: bytes) -> None:
        digest.update(chunk)
        held.write(chunk)

    def request() -> Request:
        nonlocal digest
        digest = hashlib.sha256()  # another attempt begins anew
        held.seek(0)
        held.truncate()
        return Request("GET", part["url"], {}, sink=keep)

    try:
        yield from ref.api.tried(request, f"the link of {part['key']}")
    except ApiError as error:
        held.close()
        error.hint = error.hint or LINK_HINT
        raise
    if digest.hexdigest() != part["sha256"]:
        held.close()
        raise BadAnswer(f"got {part['key']} with sha256 {digest.hexdigest()}, expected {part['sha256']}")
    held.seek(0)
    return held


def _made(api: Api, found: Any, files: Mapping[str, Path]) -> tuple[JobRef, str, list[tuple[Any, Form]]]:
    """Return the new job, its route of starting, and the forms of its uploads with their files."""
    forms = [(each, Form(each["fields"], each["name"], files[each["name"]])) for each in found["uploads"]]
    return JobRef(api, found["job"]), found["start"], forms


def _upload(api: Api, form: Mapping[str, Any], body: Form) -> Flow[None]:
    n_bytes = body.path.stat().st_size
    if n_bytes > form["max_bytes"]:
        raise InvalidRequest(f"got {body.name} of {n_bytes} bytes, at most {form['max_bytes']}")
    yield from api.tried(lambda: Request("POST", form["url"], {}, body), f"the upload of {body.name}")
