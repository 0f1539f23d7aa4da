"""Ends a leased shard: its part object, then one transaction, then the word that the job may be closed.

Three effects in this order; a crash between any two leaves something that the next delivery or
the sweeper finishes. The first part that was written is the shard's result, whoever wrote it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from functions.jobs.records.formats import Output, Problem
from functions.jobs.records.part_files import CONTENT_TYPES
from functions.jobs.records.result_rows import Rows, encode_given_up
from functions.jobs.state import keys, leases, state_machine
from functions.jobs.state.items import Job, JobSpec, Shard
from functions.jobs.state.leases import Part
from functions.jobs.state.queue_messages import QueueMessage
from functions.jobs.state.transactions import ConditionFailed
from functions.jobs.storage.aws import Doors
from functions.jobs.storage.queries import load_job
from shared.errors import GlossaError
from shared.log import log_event


class ForeignPart(GlossaError):
    """An object that is not this shard's result stands at its key. Needs a person."""

    code = "foreign-part"


@dataclass(frozen=True, slots=True)
class ShardCommit:
    """Ends shards through the doors it is given."""

    doors: Doors

    def settle(self, job: Job, shard: Shard, rows: Rows, *, given_up: bool = False) -> None:
        """Publish a leased shard's rows and count them, once, however often this runs. Raises ForeignPart."""
        part, failed = self._publish(job, shard, rows, given_up=given_up)
        try:
            self.doors.store.write(*leases.settle(job, shard, part, self.doors.now_ms(), failed=failed))
        except ConditionFailed as refused:  # another holds the fence, or the job takes no more results: nothing is lost
            log_event("not-settled", function="work", job_id=job.job, shard=shard.shard, reason=str(refused.failed))
        else:
            log_event(
                "settled", function="work", job_id=job.job, shard=shard.shard, attempt=shard.attempt,
                records=part.records_ok, failed=part.records_failed,
            )  # fmt: skip
        self.close_if_last(job)

    def give_up(self, job: Job, shard: Shard, problem: Problem) -> None:
        """End a leased shard with an error row for each of its records, unless its result is there after all."""
        self.settle(job, shard, encode_given_up(shard, problem, _output(job)), given_up=True)

    def close_if_last(self, job: Job) -> None:
        """Ask for the manifest when no shard of the job is open."""
        now = load_job(self.doors.store, job.tenant, job.job)
        if now is not None and state_machine.ready_to_close(now):
            self.doors.queue.send([QueueMessage("finalize", job.tenant, job.job)])

    def _publish(self, job: Job, shard: Shard, rows: Rows, *, given_up: bool) -> tuple[Part, bool]:
        part = Part(_sha256(rows.data), len(rows.data), rows.n_ok, rows.n_failed, job.model_revision)
        key = keys.part_key(job.tenant, job.job, shard.shard, shard.generation, _output(job))
        metadata = {
            "sha256": part.sha256, "ok": str(part.records_ok), "failed": str(part.records_failed),
            "model-revision": part.model_revision, "given-up": str(int(given_up)),
        }  # fmt: skip
        bucket = self.doors.output_bucket
        if self.doors.objects.put_new(
            bucket, key, rows.data, content_type=CONTENT_TYPES[_output(job)], metadata=metadata
        ):
            return part, given_up
        return self._adopt(key, shard)

    def _adopt(self, key: str, shard: Shard) -> tuple[Part, bool]:
        """Take the part that an earlier attempt wrote, after checking that it is this shard's and whole."""
        stored = self.doors.objects.head(self.doors.output_bucket, key)
        if stored is None:
            raise GlossaError(f"the part of shard {shard.shard} vanished while it was read")
        said = stored.metadata
        try:
            ok, failed = int(said["ok"]), int(said["failed"])
        except (KeyError, ValueError):
            raise ForeignPart(f"the object at the part key of shard {shard.shard} carries no counts") from None
        sha256 = said.get("sha256", "")
        if ok + failed != shard.n_records or stored.sha256 not in {"", sha256}:
            raise ForeignPart(f"the part of shard {shard.shard} holds {ok + failed} rows, expected {shard.n_records}")
        return Part(sha256, stored.size_bytes, ok, failed, said.get("model-revision", "")), said.get("given-up") == "1"


def _output(job: Job) -> Output:
    return JobSpec.from_json(job.spec).output if job.spec else "jsonl"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
