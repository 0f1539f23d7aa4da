"""Answers one shard: claims it, reads its records, has them answered, commits the result.

The effects come in this order: the lease, the read, the calls, the part object, the transaction. After an error that
may pass, the shard is released without a strike. After an error that the shard itself may have caused, it gets a
strike. A shard with too many strikes ends in error rows. Must not know how calls are made.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from functions.jobs.records import problem_codes
from functions.jobs.records.formats import Problem
from functions.jobs.records.records import Record
from functions.jobs.records.result_rows import Answer, encode_rows
from functions.jobs.records.shard_runs import MAX_SHARD_S
from functions.jobs.state import leases, state_machine
from functions.jobs.state.items import Job, JobSpec, Shard
from functions.jobs.state.queue_messages import belongs_to, decode_message
from functions.jobs.state.transactions import ConditionFailed
from functions.jobs.steps.commit import ShardCommit, row_source
from functions.jobs.steps.sqs_handler import RetryLater, SqsMessage, backoff_s, handle_messages
from functions.jobs.steps.work.answer_records import Respond, answer_all, send_probe
from functions.jobs.steps.work.read_records import RecordReader
from functions.jobs.steps.work.server_health import ServerHealthCheck
from functions.jobs.storage.contracts import JobQueue, Table
from functions.jobs.storage.queries import load_job, load_shard
from functions.jobs.storage.transient_errors import is_transient
from functions.messages import Result
from functions.replica.failures import NoReply
from functions.tasks.task import TextRequest
from shared.errors import Conflict, DeadlineExceeded, GlossaError, NotFound, ReplicaError
from shared.log import log_event
from shared.trace_context import TraceContext, new_trace

COMMIT_MARGIN_S = 15.0  # time that the part object and the transaction may take
HELD_MARGIN_S = 5.0  # added to the end of another worker's lease
MAX_SHARD_ANSWER_BYTES = (
    65 << 20
)  # of one call for a shard: the most token vectors that a job may ask for, at width 2048
MAX_WAITS = 30  # for a model server that takes no calls, in one run
MAX_DISCARD_ROUNDS = 500  # in one run
HANG_BEFORE_STRIKE_S = 60.0  # a server that is silent for this long, though told to be done, hangs (D52)
NO_REPLY = "no-reply"
ISOLATE_STRIKES = 2  # from this many strikes on, the record that breaks the model server is searched for


class SourceGone(Exception):
    """The shard's bytes are no longer those that were planned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """Answers shards. `respond` runs a request through the pipeline and the model server, as part of a trace.

    `clock_s` is the clock of the deadlines, and `pause` waits on it. `blocked_s` says for how many seconds no call for
    a model will be let pass. `now_ms` returns epoch milliseconds.
    """

    table: Table
    queue: JobQueue
    reader: RecordReader
    shard_commit: ShardCommit
    now_ms: Callable[[], int]
    respond: Callable[[TextRequest, TraceContext], tuple[Result, Mapping[int, GlossaError]]]
    clock_s: Callable[[], float]
    pause: Callable[[float], object] = time.sleep
    blocked_s: Callable[[str], float] = lambda _: 0.0
    begin_trace: Callable[[], TraceContext] = new_trace

    def handle_event(
        self, event: Mapping[str, Any], time_left_s: Callable[[], float]
    ) -> dict[str, list[dict[str, str]]]:
        """Handle an event of the work queue; returns the partial batch response."""
        return handle_messages("work", event, lambda message: self.handle_message(message, time_left_s), self.queue)

    def handle_message(self, message: SqsMessage, time_left_s: Callable[[], float]) -> None:
        """Answer the shard that a message names. Raises RetryLater when the message must be delivered again."""
        queue_message = decode_message(message.body, "work")
        job = load_job(self.table, queue_message.tenant, queue_message.job)
        if job is not None and job.state in state_machine.STOPPED:
            self._discard_messages(job, time_left_s)
            return
        shard = load_shard(self.table, job, queue_message.shard) if job else None
        if job is None or shard is None:
            log_event(
                "shard-unknown", level="warning", function="work", job_id=queue_message.job, shard=queue_message.shard
            )
        elif shard.state in state_machine.SHARD_ENDED:
            self.shard_commit.close_if_last(job)
        elif job.state in state_machine.WORKABLE:
            if self._server_takes_calls(job, time_left_s):
                self._work(job, self._claim(job, shard), message.receives, time_left_s)
            else:  # sends a new message: the receives of this one must not count a server that is away
                self.queue.send([queue_message], delay_s=int(backoff_s(1)))

    def _discard_messages(self, job: Job, time_left_s: Callable[[], float]) -> None:
        """Delete the waiting messages of a stopped job, ten in a round, until a message of another job comes."""
        n_discarded = 0
        for _ in range(MAX_DISCARD_ROUNDS):
            n_dead, n_alive = self.queue.discard("work", lambda body: belongs_to(body, job.job))
            n_discarded += n_dead
            if not n_dead or n_alive or time_left_s() < COMMIT_MARGIN_S:
                break
        log_event("discarded", function="work", job_id=job.job, state=job.state, count=n_discarded)

    def _server_takes_calls(self, job: Job, time_left_s: Callable[[], float]) -> bool:
        """Wait while the circuit breaker is open. Nothing is claimed yet, so all other messages stay in the queue."""
        for _ in range(MAX_WAITS):
            wait_s = self.blocked_s(job.model)
            if wait_s <= 0:
                return True
            if time_left_s() < wait_s + MAX_SHARD_S + 2 * COMMIT_MARGIN_S:
                break
            self.pause(wait_s)
        log_event("blocked", function="work", job_id=job.job, model=job.model)
        return False

    def _claim(self, job: Job, shard: Shard) -> Shard:
        now_ms = self.now_ms()
        try:
            write, leased = leases.claim(job, shard, now_ms)
            self.table.write(write)
        except leases.Held as held:
            raise RetryLater("held", (held.until_ms - now_ms) / 1000 + HELD_MARGIN_S) from None
        except ConditionFailed:
            raise RetryLater("claimed by another", HELD_MARGIN_S) from None
        return leased

    def _work(self, job: Job, shard: Shard, receives: int, time_left_s: Callable[[], float]) -> None:
        if leases.exhausted(shard):
            self.shard_commit.give_up_after_strikes(job, shard)
            return
        try:
            records = self._read(job, shard)
            outcomes = self._answer(job, shard, records, time_left_s())
            if self._cancelled(job):
                return
            rows = encode_rows(row_source(shard), records, outcomes, JobSpec.from_json(job.spec).output)
            self.shard_commit.commit(job, shard, rows)
        except SourceGone as gone:
            self.shard_commit.give_up(job, shard, Problem(problem_codes.SOURCE_GONE, str(gone)))
        except Exception as error:  # noqa: BLE001 - after any error the lease is released and the message comes again
            raise self._release(job, shard, error, receives, time_left_s()) from None

    def _read(self, job: Job, shard: Shard) -> list[Record]:
        try:
            return self.reader.read(job, shard)
        except (NotFound, Conflict) as error:
            raise SourceGone(error.message) from None

    def _answer(self, job: Job, shard: Shard, records: Sequence[Record], left_s: float) -> dict[int, Answer | Problem]:
        good = [record for record in records if record.problem is None]
        if not good or self._cancelled(job):
            return {}
        spec, reference = JobSpec.from_json(job.spec), f"{job.model}:{job.head}"
        deadline_s = self.clock_s() + left_s - COMMIT_MARGIN_S
        respond = self._respond_in_trace(job, shard)
        health_check = None
        if shard.strikes >= ISOLATE_STRIKES:
            health_check = ServerHealthCheck(
                lambda until_s: send_probe(spec, reference, job.tenant, until_s, respond),
                clock_s=self.clock_s, pause=self.pause, deadline_s=deadline_s,
            )  # fmt: skip
        return answer_all(
            good, spec, reference=reference, tenant=job.tenant, deadline_s=deadline_s, respond=respond,
            health_check=health_check, split_first=health_check is not None and shard.reason == NO_REPLY,
        )  # fmt: skip

    def _respond_in_trace(self, job: Job, shard: Shard) -> Respond:
        """Begin a trace for the run of a shard, and log it. All calls of the run belong to it."""
        trace = self.begin_trace()
        log_event("shard-trace", function="work", job_id=job.job, shard=shard.shard, trace_id=trace.trace_id)
        return lambda request: self.respond(request, trace)

    def _cancelled(self, job: Job) -> bool:
        now = load_job(self.table, job.tenant, job.job)
        return now is None or now.state not in state_machine.WORKABLE

    def _release(self, job: Job, shard: Shard, error: Exception, receives: int, left_s: float) -> Exception:
        """Release the lease; return what must be raised: RetryLater for an error that may pass, else the error."""
        late = isinstance(error, DeadlineExceeded) and left_s <= COMMIT_MARGIN_S
        hung = isinstance(error, NoReply) and error.waited_s >= HANG_BEFORE_STRIKE_S
        passing = is_transient(error) and not late and not hung and not isinstance(error, ReplicaError)
        reason = error.code if isinstance(error, GlossaError) else type(error).__name__
        reason = NO_REPLY if hung else reason
        with suppress(ConditionFailed):  # another worker holds the lease by now
            self.table.write(leases.release(job, shard, strike=not passing, reason=reason))
        if not passing:
            return error
        wanted_s = error.retry_after_s if isinstance(error, GlossaError) else None
        return RetryLater(reason, backoff_s(receives, wanted_s))
