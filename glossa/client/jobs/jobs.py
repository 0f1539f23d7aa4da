"""The batch jobs of a client, and one job of them: their methods, on a thread and on an event loop.

Must not know how requests are sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from glossa.client.flows import Api
from glossa.client.jobs import flows
from glossa.client.jobs.flows import JobRef
from glossa.client.jobs.rows import Row, read_rows, row_of
from glossa.client.jobs.spec import JobSpec
from glossa.client.jobs.status import JobStatus
from glossa.client.readers import as_it_is
from glossa.client.runners import AsyncRunner, Method, Runner

LISTS = {"results": ("parts", "output"), "errors": ("errors",)}  # what a page of each list holds


class JobMethods:
    """What a job does, the same on a thread and on an event loop."""

    status = Method(flows.status)
    wait = Method(flows.wait)
    cancel = Method(flows.cancel)
    redrive = Method(flows.redrive)
    delete = Method(flows.delete)
    open_part = Method(flows.open_part)


class Job(JobMethods, Runner[JobRef]):
    """One batch job.

    job = client.jobs.submit(JobSpec("text-classification", files=["reviews.csv"]))
    if job.wait().succeeded_wholly:
        for row in job.results():
            print(row.id, row.value[0].label)
    """

    @property
    def id(self) -> str:
        """The id of the job, by which `client.jobs.get` finds it again."""
        return self.target.id

    def results(self) -> Iterator[Row]:
        """Yield the rows of the ended job in their order. Each part is checked against its digest before it is read."""
        task = self.status().task
        for page in self.pages("results"):
            for part in page["parts"]:
                with self.open_part(part) as file:
                    yield from read_rows(file, page["output"], task)

    def errors(self) -> Iterator[Row]:
        """Yield the error rows of the ended job."""
        for page in self.pages("errors"):
            yield from (row_of(found, as_it_is) for found in page["errors"])

    def pages(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the pages of a list of the job, `results` or `errors`, as the API gives them."""
        cursor = None
        while True:
            page = self.http.run(flows.page(self.target.api, f"{self.target.path}/{name}", cursor, LISTS[name]))
            yield page
            if (cursor := page["next"]) is None:
                return


class AsyncJob(JobMethods, AsyncRunner[JobRef]):
    """One batch job, on an event loop.

    job = await client.jobs.submit(JobSpec("text-classification", files=["reviews.csv"]))
    await job.wait()
    async for row in job.results():
        print(row.id, row.value)
    """

    @property
    def id(self) -> str:
        """The id of the job, by which `client.jobs.get` finds it again."""
        return self.target.id

    async def results(self) -> AsyncIterator[Row]:
        """Yield the rows of the ended job in their order. Each part is checked against its digest before it is read."""
        task = (await self.status()).task
        async for page in self.pages("results"):
            for part in page["parts"]:
                with await self.open_part(part) as file:
                    for row in read_rows(file, page["output"], task):
                        yield row

    async def errors(self) -> AsyncIterator[Row]:
        """Yield the error rows of the ended job."""
        async for page in self.pages("errors"):
            for found in page["errors"]:
                yield row_of(found, as_it_is)

    async def pages(self, name: str) -> AsyncIterator[dict[str, Any]]:
        """Yield the pages of a list of the job, `results` or `errors`, as the API gives them."""
        cursor = None
        while True:
            page = await self.http.run(flows.page(self.target.api, f"{self.target.path}/{name}", cursor, LISTS[name]))
            yield page
            if (cursor := page["next"]) is None:
                return


class Jobs(Runner[Api]):
    """The batch jobs of a client.

    client.jobs.submit(JobSpec("fill-mask", files=["texts.txt"], lines=True)).wait(timeout_s=600)
    """

    def submit(self, spec: JobSpec, *, key: str | None = None) -> Job:
        """Make a job, upload its files and start it. While it goes on, a second call with the same `key` finds it."""
        return Job(self.http.run(flows.submit(self.target, spec, key=key)), self.http)

    def get(self, job_id: str) -> Job:
        """Return a job by its id. Nothing is asked yet."""
        return Job(JobRef(self.target, job_id), self.http)

    def list(self) -> Iterator[JobStatus]:
        """Yield the status of each job, the newest first."""
        cursor = None
        while True:
            jobs, cursor = self.http.run(flows.statuses(self.target, cursor))
            yield from jobs
            if cursor is None:
                return


class AsyncJobs(AsyncRunner[Api]):
    """The batch jobs of a client, on an event loop."""

    async def submit(self, spec: JobSpec, *, key: str | None = None) -> AsyncJob:
        """Make a job, upload its files and start it. While it goes on, a second call with the same `key` finds it."""
        return AsyncJob(await self.http.run(flows.submit(self.target, spec, key=key)), self.http)

    def get(self, job_id: str) -> AsyncJob:
        """Return a job by its id. Nothing is asked yet."""
        return AsyncJob(JobRef(self.target, job_id), self.http)

    async def list(self) -> AsyncIterator[JobStatus]:
        """Yield the status of each job, the newest first."""
        cursor = None
        while True:
            jobs, cursor = await self.http.run(flows.statuses(self.target, cursor))
            for found in jobs:
                yield found
            if cursor is None:
                return
