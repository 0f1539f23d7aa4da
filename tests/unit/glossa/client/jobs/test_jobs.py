"""Batch jobs from files to rows, by both clients, against the jobs API in this process."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import httpx2
import pytest

from functions.jobs.state.state_machine import ENDED
from glossa.client import (
    ApiError,
    BadAnswer,
    Conflict,
    InvalidRequest,
    JobSpec,
    Label,
    NotEnded,
    NotFound,
    Row,
    Unavailable,
    Webhook,
)
from glossa.client.jobs.spec import Output
from glossa.client.jobs.status import END_STATES, JobStatus
from shared.errors import Unprocessable
from tests.unit.functions.jobs.world import World
from tests.unit.glossa.client.served import JobsServer, async_client_of, client_of
from tests.unit.glossa.client.worlds import Labels

TEXTS = ["first", "second", "third ü"]
TASK = "text-classification"


@pytest.fixture
def server() -> JobsServer:
    """Return a server of an empty world whose model answers with labels. A shard has two records."""
    return JobsServer(World(echo=Labels(), max_records=2))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write a file of three records."""
    path = tmp_path / "in.jsonl"
    lines = [json.dumps({"text": text, "id": n}) for n, text in enumerate(TEXTS)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def expected(key: str) -> list[Row]:
    """Return the rows of the file."""
    return [Row(n, key, n + 1, n, [Label(text, 0.5)], None, 1, 3, truncated=False) for n, text in enumerate(TEXTS)]


def test_end_states_are_those_of_the_state_machine() -> None:
    """The client waits for a job until the same states that end it in the service."""
    assert END_STATES == ENDED


@pytest.mark.parametrize("output", ["jsonl", "jsonl.gz", "csv"])
def test_from_a_file_to_typed_rows(server: JobsServer, file: Path, output: Output) -> None:
    """The file is uploaded, the job runs, and its rows come in order, the same from each form of results."""
    job = client_of(server).jobs.submit(JobSpec(TASK, [file], output=output, id_field="id"))
    assert job.wait().succeeded_wholly
    rows = list(job.results())
    assert [(row.index, row.name, row.number, str(row.id), row.value) for row in rows] == [
        (n, "in.jsonl", n + 1, str(n), [Label(text, 0.5)]) for n, text in enumerate(TEXTS)
    ]
    if output == "jsonl":
        assert rows == expected(f"t/local/jobs/{job.id}/input/in.jsonl")


def test_the_same_on_an_event_loop(server: JobsServer, file: Path) -> None:
    """The other client submits, waits, reads rows and errors, and lists jobs in the same way."""

    async def run() -> None:
        async with async_client_of(server) as client:
            job = await client.jobs.submit(JobSpec(TASK, [file]))
            assert (await job.wait()).succeeded_wholly
            assert [row async for row in job.results()] == expected(f"t/local/jobs/{job.id}/input/in.jsonl")
            assert [row async for row in job.errors()] == []
            assert [each.job async for each in client.jobs.list()] == [job.id]
            assert (await client.jobs.get(job.id).status()).state == "SUCCEEDED"
            assert await job.delete() is None

    asyncio.run(run())


def test_error_rows_and_a_redrive(server: JobsServer, file: Path) -> None:
    """A record that failed has its error in its row, and is answered by a redrive."""
    echo = server.world.echo
    echo.poison, echo.poison_error = "second", lambda: Unprocessable("too long")
    job = client_of(server).jobs.submit(JobSpec(TASK, [file]))
    found = job.wait()
    assert (found.state, found.records, found.succeeded, found.failed) == ("PARTIALLY_SUCCEEDED", 3, 2, 1)
    [bad] = [row for row in job.results() if row.error]
    assert (bad.value, bad.error.code if bad.error else "") == (None, "unprocessable")
    assert [row.error for row in job.errors()] == [bad.error]
    echo.poison_error = None
    assert job.redrive(generation=0) == 1
    with redirect_stdout(io.StringIO()):
        server.world.run()
    assert job.wait().succeeded_wholly


def test_a_key_finds_its_job(server: JobsServer, file: Path) -> None:
    """Two calls with one key make one job; without a key each makes its own. The list has the newest first."""
    server.runs = False
    jobs = client_of(server).jobs
    first, again, other = (jobs.submit(JobSpec(TASK, [file]), key=key) for key in ("k", "k", None))
    assert first.id == again.id != other.id
    assert {each.job for each in jobs.list()} == {first.id, other.id}
    assert other.cancel() == "CANCELLING"


def test_waiting_ends_in_time(server: JobsServer, file: Path) -> None:
    """A job that goes on is an error after the caller's time, and the caller sees each status on the way."""
    server.runs = False
    job = client_of(server).jobs.submit(JobSpec(TASK, [file]))
    seen: list[JobStatus] = []
    now_s = iter(range(0, 100, 2))
    with pytest.raises(NotEnded, match="in state SUBMITTED after 5 s"):
        job.wait(timeout_s=5, every_s=2, on_status=seen.append, clock_s=lambda: next(now_s))
    assert [each.state for each in seen] == ["SUBMITTED"] * 2


def test_results_of_a_job_that_goes_on_are_refused(server: JobsServer, file: Path) -> None:
    """The API says that the job has not ended."""
    server.runs = False
    job = client_of(server).jobs.submit(JobSpec(TASK, [file]))
    with pytest.raises(Conflict, match="is SUBMITTED"):
        list(job.results())


def test_bytes_that_were_changed_are_refused(server: JobsServer, file: Path) -> None:
    """A part whose digest is another gives no row."""
    job = client_of(server).jobs.submit(JobSpec(TASK, [file]))
    server.spoil = lambda data: data.replace(b"first", b"worst")
    with pytest.raises(BadAnswer, match="sha256"):
        next(job.results())


class Shaky(JobsServer):
    """Loses each first answer: of every route, upload and download. What was asked was done."""

    def __call__(self, sent: httpx2.Request) -> httpx2.Response:
        """Answer, or lose the answer."""
        before = list(self.seen)
        found = super().__call__(sent)
        if (sent.method, str(sent.url)) not in before:
            raise httpx2.ReadError("lost")
        return found


def test_lost_answers_cost_nothing(file: Path) -> None:
    """A job whose every first answer was lost is made once, started once and read once."""
    server = Shaky(World(echo=Labels(), max_records=2))
    job = client_of(server).jobs.submit(JobSpec(TASK, [file]))
    assert job.wait().succeeded_wholly
    assert list(job.results()) == expected(f"t/local/jobs/{job.id}/input/in.jsonl")
    assert [each.job for each in client_of(server).jobs.list()] == [job.id]


def test_links_get_no_key(server: JobsServer, file: Path) -> None:
    """The key goes to the API alone, not with uploads and downloads."""
    keyed: set[tuple[str, bool]] = set()

    def watching(sent: httpx2.Request) -> httpx2.Response:
        keyed.add((sent.url.host, "authorization" in sent.headers))
        return server(sent)

    job = client_of(watching, url="http://127.0.0.1/live", api_key="secret").jobs.submit(JobSpec(TASK, [file]))
    list(job.results())
    assert keyed == {("127.0.0.1", True), ("input", False), ("output", False)}


def test_a_link_that_is_over_says_so(server: JobsServer, file: Path) -> None:
    """The message names the part, what storage answered, and how long links are good for."""
    job = client_of(server).jobs.submit(JobSpec(TASK, [file]))

    def expired(sent: httpx2.Request) -> httpx2.Response:
        return (
            httpx2.Response(403, content=b"<Code>AccessDenied</Code>") if sent.url.scheme == "memory" else server(sent)
        )

    with pytest.raises(ApiError, match=r"the link of t/local/.* answered 403: <Code>.*; links are good for an hour"):
        list(client_of(expired).jobs.get(job.id).results())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (JobSpec(TASK), "expected one of them"),
        (JobSpec(TASK, ["a.txt"], prefix="x"), "expected a file"),
        (JobSpec(TASK, ["a/x.txt", "b/x.txt"]), "2 files of 1 names"),
    ],
)
def test_a_job_that_cannot_be_is_refused_here(server: JobsServer, spec: JobSpec, message: str) -> None:
    """Nothing is sent for a job without inputs, with equal names or with a file that is not there."""
    with pytest.raises(InvalidRequest, match=message):
        client_of(server).jobs.submit(spec)
    assert server.seen == []


def test_a_file_that_is_too_large_is_refused(server: JobsServer, file: Path) -> None:
    """The limit is the one that the API names with the upload."""

    def small(sent: httpx2.Request) -> httpx2.Response:
        found = server(sent)
        if sent.url.path.endswith("/jobs"):
            made = found.json()
            made["uploads"][0]["max_bytes"] = 10
            return httpx2.Response(201, json=made)
        return found

    with pytest.raises(InvalidRequest, match="at most 10"):
        client_of(small).jobs.submit(JobSpec(TASK, [file]))


def test_an_unknown_job_is_not_found(server: JobsServer) -> None:
    """The error is that of the API."""
    with pytest.raises(NotFound):
        client_of(server).jobs.get("0" * 32).status()


def test_storage_that_is_down_is_no_answer(server: JobsServer, file: Path) -> None:
    """An upload that fails is tried again, and then raised without the signed address."""

    def down(sent: httpx2.Request) -> httpx2.Response:
        if sent.url.scheme == "memory":
            raise httpx2.ConnectError("refused")
        return server(sent)

    with pytest.raises(Unavailable, match="no answer from input: ConnectError"):
        client_of(down).jobs.submit(JobSpec(TASK, [file]))


def test_every_field_of_a_job_has_its_place(file: Path) -> None:
    """The body has what was given, and leaves the rest to the service. A secret is not shown."""
    hook = Webhook(url="https://e.example/", secret="a-secret-of-the-tests")
    spec = JobSpec(
        TASK, [file], model="mini:topic", parameters={"top_k": 2}, lines=True, text_field="body",
        text_pair_field="other", id_field="nr", delimiter=";", quoted=False, output="csv", webhook=hook,
    )  # fmt: skip
    assert spec.body() == {
        "task": TASK, "files": ["in.jsonl"], "model": "mini:topic", "parameters": {"top_k": 2}, "output": "csv",
        "format": {"text": "lines", "text_field": "body", "text_pair_field": "other", "id_field": "nr",
                   "delimiter": ";", "quoted": False},
        "webhook": {"url": "https://e.example/", "secret": "a-secret-of-the-tests"},
    }  # fmt: skip
    assert "a-secret" not in repr(spec)
    assert JobSpec(TASK, prefix="2026/").body() == {"task": TASK, "prefix": "2026/", "format": {}}
