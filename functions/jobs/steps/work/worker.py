"""Answers one shard: claim, read, infer, settle.

Five effects in order: the lease, the read, the calls, the part object, the transaction. What
may get better on its own is handed back without a mark; what may be the shard's own fault
leaves a strike, and a shard with too many ends in error rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from functions.jobs.records.formats import Problem
from functions.jobs.records.records import Record
from functions.jobs.records.result_rows import Answer, encode_rows
from functions.jobs.records.shard_runs import WORK_SHARE_S
from functions.jobs.state import leases, state_machine
from functions.jobs.state.items import Job, JobSpec, Shard
from functions.jobs.state.queue_messages import decode, leads_to
from functions.jobs.state.transactions import ConditionFailed
from functions.jobs.steps.commit import ShardCommit
from functions.jobs.steps.sqs_handler import RetryLater, SqsMessage, backoff_s, deliver
from functions.jobs.steps.work.answer_records import Respond, answer_all, ask_harmless
from functions.jobs.steps.work.read_records import read_records
from functions.jobs.steps.work.server_health import ServerHealthCheck
from functions.jobs.storage.aws import Doors, is_transient
from functions.jobs.storage.queries import load_job, load_shard
from functions.replica.client import NoReply
from shared.errors import Conflict, DeadlineExceeded, GlossaError, NotFound, ReplicaError
from shared.log import log_event

MARGIN_S = 15.0  # for the part object and the transaction
HELD_MARGIN_S = 5.0
MAX_ANSWER_BYTES = 65 << 20  # of one call: as many token vectors as one may ask for at width 2048, and their frame
MAX_WAITS = 30
MAX_ROUNDS = 500  # of throwing away, in one run
HUNG_S = 60.0  # of silence from a server that was told to be done by then
NO_REPLY = "no-reply"
ISOLATE_STRIKES = 2  # from here on, a record that breaks the model server is looked for


class SourceGone(Exception):
    """The shard's bytes are no longer what was planned."""


@dataclass(frozen=True, slots=True)
class Worker:
    """Answers shards. `respond` runs the three desks around the model server; `clock_s` is its deadlines' clock.

    `pause` lets seconds pass on that clock, while a server that a record broke comes back. `blocked_s`
    says for how long no call for a model will be let pass.
    """

    doors: Doors
    respond: Respond
    clock_s: Callable[[], float]
    pause: Callable[[float], object] = time.sleep
    blocked_s: Callable[[str], float] = lambda _: 0.0

    def answer(self, event: Mapping[str, Any], time_left_s: Callable[[], float]) -> dict[str, list[dict[str, str]]]:
        """Handle an event of the work queue; returns the partial batch response."""
        return deliver("work", event, lambda delivery: self.handle(delivery, time_left_s), self.doors.queue)

    def handle(self, delivery: SqsMessage, time_left_s: Callable[[], float]) -> None:
        """Answer the shard that a message points to. Raises Later when it is to be delivered again."""
        message = decode(delivery.body, "work")
        job = load_job(self.doors.store, message.tenant, message.job)
        if job is not None and job.state in state_machine.STOPPED:
            self._discard(job, time_left_s)
            return
        shard = load_shard(self.doors.store, job, message.shard) if job else None
        if job is None or shard is None:
            log_event("shard-unknown", level="warning", function="work", job_id=message.job, shard=message.shard)
        elif shard.state in state_machine.SHARD_ENDED:
            ShardCommit(self.doors).close_if_last(job)
        elif job.state in state_machine.WORKABLE:
            if self._server_takes_calls(job, time_left_s):
                self._work(job, self._claim(job, shard), delivery.receives, time_left_s)
            else:  # a new message, as this one's receives are not for a server that is away
                self.doors.queue.send([message], delay_s=int(backoff_s(1)))

    def _discard(self, job: Job, time_left_s: Callable[[], float]) -> None:
        """Throw away what else waits of a stopped job, ten messages a round, until one of another job comes."""
        n_gone = 0
        for _ in range(MAX_ROUNDS):
            n_dead, n_alive = self.doors.queue.discard("work", lambda body: leads_to(body, job.job))
            n_gone += n_dead
            if not n_dead or n_alive or time_left_s() < MARGIN_S:
                break
        log_event("discarded", function="work", job_id=job.job, state=job.state, count=n_gone)

    def _server_takes_calls(self, job: Job, time_left_s: Callable[[], float]) -> bool:
        """Wait while the breaker is open, with nothing claimed: all messages behind this one stay where they are."""
        for _ in range(MAX_WAITS):
            wait_s = self.blocked_s(job.model)
            if wait_s <= 0:
                return True
            if time_left_s() < wait_s + WORK_SHARE_S + 2 * MARGIN_S:
                break
            self.pause(wait_s)
        log_event("blocked", function="work", job_id=job.job, model=job.model)
        return False

    def _claim(self, job: Job, shard: Shard) -> Shard:
        now_ms = self.doors.now_ms()
        try:
            write, leased = leases.claim(job, shard, now_ms)
            self.doors.store.write(write)
        except leases.Held as held:
            raise RetryLater("held", (held.until_ms - now_ms) / 1000 + HELD_MARGIN_S) from None
        except ConditionFailed:
            raise RetryLater("claimed by another", HELD_MARGIN_S) from None
        return leased

    def _work(self, job: Job, shard: Shard, receives: int, time_left_s: Callable[[], float]) -> None:
        shard_commit = ShardCommit(self.doors)
        if leases.exhausted(shard):
            detail = f"given up after {shard.strikes} tries; last reason: {shard.reason or 'the worker died'}"
            shard_commit.give_up(job, shard, Problem("given-up", detail))
            return
        try:
            records = _read(job, shard, self.doors)
            outcomes = self._answer(job, shard, records, time_left_s())
            if self._cancelled(job):
                return
            output = JobSpec.from_json(job.spec).output
            shard_commit.settle(job, shard, encode_rows(shard, records, outcomes, output))
        except SourceGone as gone:
            shard_commit.give_up(job, shard, Problem("source-gone", str(gone)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the lease is given back and the message comes again
            raise self._hand_back(job, shard, error, receives, time_left_s()) from None

    def _answer(self, job: Job, shard: Shard, records: Sequence[Record], left_s: float) -> dict[int, Answer | Problem]:
        good = [record for record in records if record.problem is None]
        if not good or self._cancelled(job):
            return {}
        spec, reference, deadline_s = (
            JobSpec.from_json(job.spec),
            f"{job.model}:{job.head}",
            self.clock_s() + left_s - MARGIN_S,
        )
        watch = None
        if shard.strikes >= ISOLATE_STRIKES:
            watch = ServerHealthCheck(
                lambda until_s: ask_harmless(spec, reference, job.tenant, until_s, self.respond),
                clock_s=self.clock_s, pause=self.pause, deadline_s=deadline_s,
            )  # fmt: skip
        return answer_all(
            good, spec, reference=reference, tenant=job.tenant, deadline_s=deadline_s, respond=self.respond,
            watch=watch, halved=watch is not None and shard.reason == NO_REPLY,
        )  # fmt: skip

    def _cancelled(self, job: Job) -> bool:
        now = load_job(self.doors.store, job.tenant, job.job)
        return now is None or now.state not in state_machine.WORKABLE

    def _hand_back(self, job: Job, shard: Shard, error: Exception, receives: int, left_s: float) -> Exception:
        """Release the lease and return what is to be raised: Later for what may pass, else the error."""
        late = isinstance(error, DeadlineExceeded) and left_s <= MARGIN_S
        hung = isinstance(error, NoReply) and error.waited_s >= HUNG_S
        passing = is_transient(error) and not late and not hung and not isinstance(error, ReplicaError)
        reason = error.code if isinstance(error, GlossaError) else type(error).__name__
        reason = NO_REPLY if hung else reason
        with suppress(ConditionFailed):  # the lease is another's by now
            write = leases.release(job, shard, strike=not passing, reason=reason)
            self.doors.store.write(write)
        if not passing:
            return error
        wanted_s = error.retry_after_s if isinstance(error, GlossaError) else None
        return RetryLater(reason, backoff_s(receives, wanted_s))


def _read(job: Job, shard: Shard, doors: Doors) -> list[Record]:
    try:
        return read_records(job, shard, doors)
    except (NotFound, Conflict) as error:
        raise SourceGone(error.message) from None
