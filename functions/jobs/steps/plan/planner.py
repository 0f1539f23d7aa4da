"""Divides a job's inputs into shards, step by step, and goes on where it was after a crash.

Each step has two effects. One transaction writes the shards and the plan progress. Then a message for each shard is
sent. Messages that a crash left unsent are sent again. When another planner wrote first, this one stops. Must not
know how shards are answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from functions.jobs.records import problem_codes
from functions.jobs.records.formats import ObjectProblem, Problem
from functions.jobs.records.shard_runs import MAX_CHARS, MAX_RECORDS, Run, shard_limits
from functions.jobs.state import keys, state_machine
from functions.jobs.state.items import Input, Job, JobSpec, PlanProgress, Shard
from functions.jobs.state.queue_messages import QueueMessage, decode_message
from functions.jobs.state.s3_events import is_s3_event, parse_event
from functions.jobs.state.transactions import ConditionFailed, Value
from functions.jobs.steps.plan.accept_object import ObjectAcceptor
from functions.jobs.steps.plan.pin_inputs import InputPinner
from functions.jobs.steps.plan.read_runs import InputRuns, RunReader
from functions.jobs.steps.redrive import Redriver
from functions.jobs.steps.sqs_handler import SqsMessage, handle_messages
from functions.jobs.storage.contracts import JobQueue, Table
from functions.jobs.storage.queries import last_input, load_input, load_job, load_plan
from functions.jobs.storage.transient_errors import is_transient
from functions.messages import Route
from functions.pipeline.request_limits import MAX_TOKEN_VECTORS
from functions.pipeline.route import choose_head
from functions.tasks.parse import input_names, parse_parameters
from functions.tasks.task import TaskParameters
from shared.catalog import Catalog
from shared.error_text import visible
from shared.errors import GlossaError
from shared.log import log_event

STEP_SHARDS = 20  # added by one transaction
STEP_MARGIN_S = 30.0  # time that one step may take
MAX_SHARDS = 50_000  # of one job; see Planner
MAX_OBJECT_RECORDS = 12_000_000  # of one object; in one of 5 GiB they have 447 bytes each
MAX_RUNS = 8  # without progress, until an input is given up


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """Plans one job at a time. `catalog_sha256` names the catalog in the manifest. `now_ms` returns epoch milliseconds.

    A shard holds at most `max_records`, and one transaction adds at most `step_shards`. An object has at most
    `max_object_records`. A job has at most `max_shards`, because one manifest names them all: 50,000 shards are up to
    12.8 million records or 6.5 GB of text. Finalize (512 MB, 300 s) reads them in 250 queries of 200, which takes 25 s
    at 0.1 s each. At its peak it holds 2.2 KB for each shard, or 4.4 KB where keys have the 1,024 bytes that S3 allows:
    110 to 220 MB, for a manifest of 20 to 65 MB.
    """

    table: Table
    queue: JobQueue
    input_bucket: str
    now_ms: Callable[[], int]
    acceptor: ObjectAcceptor
    pinner: InputPinner
    reader: RunReader
    redriver: Redriver
    catalog: Catalog
    catalog_sha256: str
    max_records: int = MAX_RECORDS
    step_shards: int = STEP_SHARDS
    max_shards: int = MAX_SHARDS
    max_object_records: int = MAX_OBJECT_RECORDS

    def handle_event(
        self, event: Mapping[str, Any], time_left_s: Callable[[], float]
    ) -> dict[str, list[dict[str, str]]]:
        """Handle an event of the plan queue; returns the partial batch response."""
        return handle_messages("plan", event, lambda message: self.handle_message(message, time_left_s), self.queue)

    def handle_message(self, message: SqsMessage, time_left_s: Callable[[], float]) -> None:
        """Plan the job that a message names, or the jobs of the objects that an S3 event names."""
        if not is_s3_event(message.body):
            queue_message = decode_message(message.body, "plan")
            self.run(queue_message.tenant, queue_message.job, time_left_s)
            return
        for created in parse_event(message.body):
            job = self.acceptor.accept(created)
            if job is not None:
                self.run(job.tenant, job.job, time_left_s)

    def run(self, tenant: str, job_id: str, time_left_s: Callable[[], float]) -> None:
        """Bring a job from SUBMITTED to RUNNING. When time is up, sends a message that carries on."""
        job = load_job(self.table, tenant, job_id)
        if job is None:
            log_event("job-unknown", level="warning", function="plan", job_id=job_id)
            return
        try:
            if job.state == state_machine.SUBMITTED:
                job = self._begin(job)
            if job.state == state_machine.PLANNING:
                job = self._plan(job, time_left_s)
            if job.state == state_machine.REDRIVING:
                self._pin_model_of_today(job)
                job = self.redriver.run(job, time_left_s)
        except ConditionFailed:  # another planner wrote first and goes on, or the job was cancelled
            log_event("plan-superseded", function="plan", job_id=job_id)
            return
        if state_machine.ready_to_close(job) or state_machine.must_announce(job):
            self.queue.send([QueueMessage("finalize", tenant, job_id)])

    def _begin(self, job: Job) -> Job:
        plan = PlanProgress(max_records=self.max_records, max_chars=MAX_CHARS, expires_at=job.expires_at)
        try:
            parameters, chosen = self._choose(job)
        except GlossaError as error:
            attributes: dict[str, Value] = {"catalog_sha256": self.catalog_sha256}
            plan = replace(plan, n_inputs=0, n_problems=1, code=error.code, detail=error.message)
        else:
            model = self.catalog.model(chosen.model)
            most_tokens = MAX_TOKEN_VECTORS if parameters.answers_per_token else MAX_CHARS
            limits = shard_limits(model, self.max_records, most_tokens=most_tokens)
            plan = replace(plan, max_records=limits.max_records, max_chars=limits.max_chars)
            attributes = self._pinned_attributes(chosen)
        self.table.write(*state_machine.begin_planning(job, plan, self.now_ms(), **attributes))
        return self._reload(job)

    def _pin_model_of_today(self, job: Job) -> None:
        """Pin what answers a redriven job today. If today's catalog cannot answer it, the job keeps what it had."""
        try:
            _, chosen = self._choose(job)
        except GlossaError:
            return
        self.table.write(state_machine.pin_model(job, self._pinned_attributes(chosen)))

    def _choose(self, job: Job) -> tuple[TaskParameters, Route]:
        """Return the parameters of a job, and the head that answers it. Raises GlossaError when there is none."""
        spec = JobSpec.from_json(job.spec)
        parameters = parse_parameters(spec.task, spec.parameters)
        return parameters, choose_head(spec.task, parameters, spec.model, self.catalog)

    def _pinned_attributes(self, chosen: Route) -> dict[str, Value]:
        model = self.catalog.model(chosen.model)
        return {
            "model": model.name, "head": chosen.head, "model_revision": model.revision,
            "tokenizer_sha256": model.tokenizer_sha256, "catalog_sha256": self.catalog_sha256,
        }  # fmt: skip

    def _plan(self, job: Job, time_left_s: Callable[[], float]) -> Job:
        plan = load_plan(self.table, job)
        if plan is None:
            raise GlossaError(f"job {job.job} is PLANNING without a plan. This is a bug.")
        self.table.write(state_machine.count_plan_run(job, plan, 1))
        try:
            return self._plan_on(job, plan, time_left_s)
        except Exception as error:
            if is_transient(error):
                with suppress(ConditionFailed):  # there was progress since, which sets the count to zero
                    self.table.write(state_machine.count_plan_run(job, plan, -1))
            raise

    def _plan_on(self, job: Job, plan: PlanProgress, time_left_s: Callable[[], float]) -> Job:
        if plan.n_inputs < 0:
            pinned = self._pin(job, plan, time_left_s)
            if pinned is None:
                return job
            plan = pinned
        self._send(job, plan)
        while plan.input < plan.n_inputs:
            if time_left_s() < STEP_MARGIN_S:
                self.queue.send([QueueMessage("plan", job.tenant, job.job)])
                return job
            plan = self._divide(job, plan, time_left_s)
        self.table.write(*state_machine.end_planning(job, plan, self.now_ms()))
        log_event("planned", function="plan", job_id=job.job, count=plan.n_shards, records=plan.record)
        return self._reload(job)

    def _pin(self, job: Job, plan: PlanProgress, time_left_s: Callable[[], float]) -> PlanProgress | None:
        """Pin all inputs; return the new plan. When time is up, sends a message that carries on, and returns None."""
        if plan.runs >= MAX_RUNS:
            detail = f"the inputs could not be listed in {plan.runs} tries"
            return self._without_inputs(job, plan, Problem(problem_codes.UNREADABLE, detail))
        before = last_input(self.table, job)
        try:
            pinned = self.pinner.pin(job, plan, lambda: time_left_s() >= STEP_MARGIN_S)
        except ObjectProblem as problem:
            return self._without_inputs(job, plan, problem.problem)
        if pinned is None:
            if last_input(self.table, job) != before:  # the planner did not die: the listing is long
                self.table.write(state_machine.count_plan_run(job, plan, -1))
            self.queue.send([QueueMessage("plan", job.tenant, job.job)])
        return pinned

    def _divide(self, job: Job, plan: PlanProgress, time_left_s: Callable[[], float]) -> PlanProgress:
        """Divide the rest of one input into shards, or as much as time allows; return the new plan."""
        source = load_input(self.table, job, plan.input)
        if source is None:
            raise GlossaError(f"input {plan.input} of job {job.job} is not pinned. This is a bug.")
        if plan.runs >= MAX_RUNS:
            detail = f"planning stopped {plan.runs} times at byte {plan.offset} of this object without getting further"
            return self._problem(job, plan, source, Problem(problem_codes.UNREADABLE, detail))
        try:
            spec = JobSpec.from_json(job.spec)
            found = self.reader.read(source, plan, spec.options, input_names(spec.task))
            while plan.input == source.ordinal and time_left_s() >= STEP_MARGIN_S:
                batch = list(islice(found.runs, self.step_shards))
                self._check_limits(plan, batch)
                plan = self._step(job, plan, source, batch, found)
        except ObjectProblem as problem:
            plan = self._problem(job, plan, source, problem.problem)
        return plan

    def _check_limits(self, plan: PlanProgress, batch: list[Run]) -> None:
        n_records = batch[-1].spans[-1].index_in_object + 1 if batch else 0
        if n_records > self.max_object_records:
            limit = f"got more than {self.max_object_records} records, at most that many in one object"
        elif plan.n_shards + len(batch) > self.max_shards:
            limit = f"got more than {self.max_shards} shards, at most that many in one job"
        else:
            return
        rest = f"what begins at byte {plan.offset} of this object" if plan.offset else "this object"
        before = plan.line if n_records > self.max_object_records else plan.record
        detail = f"{limit}: {rest} is not in it (the {before} records before are); send that as another job"
        raise ObjectProblem(problem_codes.TOO_LARGE, detail)

    def _step(self, job: Job, plan: PlanProgress, source: Input, batch: list[Run], found: InputRuns) -> PlanProgress:
        shards = tuple(_shards(plan, source, batch, self.input_bucket, found))
        if found.staged:
            for shard, run in zip(shards, batch, strict=True):
                self.reader.stage(job, shard, run)
        after = replace(
            plan, record=plan.record + sum(s.n_records for s in shards), n_shards=plan.n_shards + len(shards)
        )
        if len(batch) < self.step_shards:
            after = replace(after, input=plan.input + 1, offset=0, line=0)
        else:
            after = replace(after, offset=batch[-1].end, line=batch[-1].spans[-1].index_in_object + 1)
        return self._write(job, plan, replace(after, unsent=tuple(s.shard for s in shards)), shards, None)

    def _problem(self, job: Job, plan: PlanProgress, source: Input, problem: Problem) -> PlanProgress:
        log_event("input-problem", level="warning", function="plan", job_id=job.job, code=problem.code)
        after = replace(plan, input=plan.input + 1, offset=0, line=0, n_problems=plan.n_problems + 1, unsent=())
        if not plan.code:
            name = visible(keys.name_of(source.key), keys.MAX_KEY_BYTES)
            after = replace(after, code=problem.code, detail=f"{name}: {problem.detail}")
        return self._write(job, plan, after, (), replace(source, code=problem.code, detail=problem.detail))

    def _without_inputs(self, job: Job, plan: PlanProgress, problem: Problem) -> PlanProgress:
        after = replace(plan, n_inputs=0, n_problems=1, code=problem.code, detail=problem.detail)
        return self._write(job, plan, after, (), None)

    def _write(
        self, job: Job, plan: PlanProgress, after: PlanProgress, shards: tuple[Shard, ...], problem: Input | None
    ) -> PlanProgress:
        after = replace(after, step=plan.step + 1, runs=0, updated_ms=self.now_ms())
        self.table.write(*state_machine.plan_step(job, plan, after, shards, problem))
        self._send(job, after)
        return after

    def _send(self, job: Job, plan: PlanProgress) -> None:
        if plan.unsent:
            self.queue.send([QueueMessage("work", job.tenant, job.job, shard) for shard in plan.unsent])

    def _reload(self, job: Job) -> Job:
        return load_job(self.table, job.tenant, job.job) or job


def _shards(plan: PlanProgress, source: Input, batch: list[Run], bucket: str, found: InputRuns) -> list[Shard]:
    shards: list[Shard] = []
    record = plan.record
    for ordinal, run in enumerate(batch, start=plan.n_shards):
        shard = Shard(
            shard=keys.shard_id(ordinal, bucket, source.key, source.identity, run.start, run.end),
            state=state_machine.PENDING,
            input=source.ordinal,
            key=source.key,
            version=source.version,
            etag=source.etag,
            start=run.start,
            end=run.end,
            line=run.line,
            record=record,
            n_records=len(run.spans),
            framing=found.framing,
            columns=found.columns.to_json() if found.columns else "",
            staged=found.staged and not run.oversize,
            oversize=run.oversize,
            expires_at=source.expires_at,
        )
        shards.append(shard)
        record += shard.n_records
    return shards
