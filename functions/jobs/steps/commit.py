"""Commits a leased shard: writes its part object, then one transaction, then asks to close the job if it was the last.

The three effects come in this order. A crash between two of them leaves a state that the next delivery or the sweeper
finishes. The first part that was written is the shard's result, whichever attempt wrote it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from functions.jobs.records import problem_codes
from functions.jobs.records.formats import DEFAULT_OUTPUT, Output, Problem
from functions.jobs.records.part_files import CONTENT_TYPES
from functions.jobs.records.result_rows import EncodedRows, RowSource, encode_given_up
from functions.jobs.state import keys, leases, state_machine
from functions.jobs.state.items import Job, JobSpec, Shard
from functions.jobs.state.leases import Part
from functions.jobs.state.queue_messages import QueueMessage
from functions.jobs.state.state_machine import DONE, FAILED
from functions.jobs.state.transactions import ConditionFailed
from functions.jobs.storage.contracts import JobQueue, ObjectStore, Table
from functions.jobs.storage.queries import load_job
from shared.errors import GlossaError
from shared.log import log_event


class ForeignPart(GlossaError):
    """The object at the shard's part key is not the shard's result. A person must look at it."""

    code = "foreign-part"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardCommit:
    """Commits shards. `now_ms` returns epoch milliseconds. `function` names the Lambda function in the log."""

    table: Table
    objects: ObjectStore
    queue: JobQueue
    output_bucket: str
    now_ms: Callable[[], int]
    function: str = "work"

    def commit(self, job: Job, shard: Shard, rows: EncodedRows, *, given_up: bool = False) -> None:
        """Write a leased shard's rows and count them. They count once, however often this runs. Raises ForeignPart."""
        part, failed = self._publish(job, shard, rows, given_up=given_up)
        try:
            self.table.write(*leases.commit_writes(job, shard, part, self.now_ms(), failed=failed))
        except ConditionFailed as refused:  # write 0 is that of the shard, write 1 that of the job
            reason = "claimed by another" if 0 in refused.failed else "the job takes no more results"
            log_event("commit-skipped", function=self.function, job_id=job.job, shard=shard.shard, reason=reason)
        else:
            log_event(
                "committed", function=self.function, job_id=job.job, model=job.model, shard=shard.shard,
                fence=shard.attempt, state=FAILED if failed else DONE, records=part.records_ok,
                failed=part.records_failed,
            )  # fmt: skip
        self.close_if_last(job)

    def give_up_after_strikes(self, job: Job, shard: Shard) -> None:
        """Commit a leased shard with error rows that say how often it was tried, and why it failed last."""
        detail = f"given up after {shard.strikes} tries; last reason: {shard.reason or 'the worker died'}"
        self.give_up(job, shard, Problem(problem_codes.GIVEN_UP, detail))

    def give_up(self, job: Job, shard: Shard, problem: Problem) -> None:
        """Commit a leased shard with an error row for each record, unless an earlier attempt wrote its result."""
        rows = encode_given_up(row_source(shard), shard.n_records, problem, _output(job))
        self.commit(job, shard, rows, given_up=True)

    def close_if_last(self, job: Job) -> None:
        """Ask to close the job when no shard of it is open."""
        now = load_job(self.table, job.tenant, job.job)
        if now is not None and state_machine.ready_to_close(now):
            self.queue.send([QueueMessage("finalize", job.tenant, job.job)])

    def _publish(self, job: Job, shard: Shard, rows: EncodedRows, *, given_up: bool) -> tuple[Part, bool]:
        """Write the part unless it exists. Returns the part that exists, and whether it was given up."""
        part = Part(_sha256(rows.data), len(rows.data), rows.n_ok, rows.n_failed, job.model_revision)
        key = keys.part_key(job.tenant, job.job, shard.shard, shard.generation, _output(job))
        metadata = {
            "sha256": part.sha256, "ok": str(part.records_ok), "failed": str(part.records_failed),
            "model-revision": part.model_revision, "given-up": str(int(given_up)),
        }  # fmt: skip
        content_type = CONTENT_TYPES[_output(job)]
        if self.objects.put_new(self.output_bucket, key, rows.data, content_type=content_type, metadata=metadata):
            return part, given_up
        return self._existing_part(key, shard)

    def _existing_part(self, key: str, shard: Shard) -> tuple[Part, bool]:
        """Return the part that an earlier attempt wrote. Raises ForeignPart unless it is this shard's, and whole."""
        stored = self.objects.head(self.output_bucket, key)
        if stored is None:
            raise GlossaError(f"the part of shard {shard.shard} vanished while it was read")
        metadata = stored.metadata
        try:
            ok, failed = int(metadata["ok"]), int(metadata["failed"])
        except (KeyError, ValueError):
            raise ForeignPart(f"the object at the part key of shard {shard.shard} carries no counts") from None
        sha256 = metadata.get("sha256", "")
        if ok + failed != shard.n_records or stored.sha256 not in {"", sha256}:
            raise ForeignPart(f"the part of shard {shard.shard} holds {ok + failed} rows, expected {shard.n_records}")
        part = Part(sha256, stored.size_bytes, ok, failed, metadata.get("model-revision", ""))
        return part, metadata.get("given-up") == "1"


def row_source(shard: Shard) -> RowSource:
    """Return where the records of a shard come from, as its rows name it."""
    return RowSource(key=shard.key, framing=shard.framing, index_in_object=shard.line, index_in_job=shard.record)


def _output(job: Job) -> Output:
    return JobSpec.from_json(job.spec).output if job.spec else DEFAULT_OUTPUT


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
