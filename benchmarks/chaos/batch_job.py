"""A batch job that waits while the model servers are away, and how it ended. Must not know scenarios."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.chaos.calls import Job
from benchmarks.chaos.load import Corpus
from glossa.client import Client, JobSpec
from glossa.client.jobs.jobs import Job as SubmittedJob

N_RECORDS = 300
WITHIN_S, POLL_S = 420.0, 2.0  # a lease that a killed worker held ends after five and a half minutes


class BatchJob:
    """One job over texts of a corpus, through the API at `url`."""

    def __init__(self, url: str, corpus: Corpus, folder: Path, dead_letters: Callable[[], int]) -> None:
        self._client, self._corpus, self._folder, self._dead_letters = Client(url), corpus, folder, dead_letters
        self._job: SubmittedJob | None = None
        self._begun_s = 0.0

    def submit(self) -> None:
        """Submit the job. Raises ApiError."""
        path = self._folder / "records.jsonl"
        texts = self._corpus.texts
        lines = (json.dumps({"id": str(n), "text": texts[n % len(texts)]}) for n in range(N_RECORDS))
        path.write_text("\n".join(lines), encoding="utf-8")
        self._begun_s = time.monotonic()
        self._job = self._client.jobs.submit(JobSpec("text-classification", [path], model=self._corpus.model))

    def ended(self) -> Job:
        """Wait for its end, at most seven minutes; return how it ended. Raises RuntimeError when none was submitted."""
        if self._job is None:
            raise RuntimeError("got no job, expected that `submit` was called")
        while not (status := self._job.status()).ended and time.monotonic() - self._begun_s < WITHIN_S:
            time.sleep(POLL_S)
        rows = sum(1 for _ in self._job.results()) if status.ended else 0
        return Job(status.state, N_RECORDS, rows, self._dead_letters(), time.monotonic() - self._begun_s)
