"""Cuts a job's inputs into shards, step by step, and resumes where it was.

Each step is two effects: one transaction (shards and checkpoint), then their pointers to the
queue. What a crash leaves unsent is sent again; what a twin wrote first is taken as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from functions.jobs.records.formats import ObjectProblem, Problem
from functions.jobs.records.shard_runs import MAX_CHARS, MAX_RECORDS, Run, bounds_for
from functions.jobs.state import keys, state_machine
from functions.jobs.state.items import Input, Job, JobSpec, Plan, Shard
from functions.jobs.state.queue_messages import QueueMessage, decode
from functions.jobs.state.s3_events import is_s3_event, parse_event
from functions.jobs.state.transactions import ConditionFailed, Value
from functions.jobs.steps.plan.accept_object import accept
from functions.jobs.steps.plan.pin_inputs import MAX_INPUTS, pin_inputs
from functions.jobs.steps.plan.read_runs import Found, read_runs, stage
from functions.jobs.steps.redrive import Redriver
from functions.jobs.steps.sqs_handler import SqsMessage, deliver
from functions.jobs.storage.aws import Doors, is_transient
from functions.jobs.storage.queries import last_input, load_input, load_job, load_plan
from functions.pipeline.request_limits import MAX_TOKEN_VECTORS
from functions.pipeline.route import choose_head
from functions.tasks.registry import input_names, parse_parameters
from shared.catalog import Catalog
from shared.error_text import visible
from shared.errors import GlossaError
from shared.log import log_event

STEP_SHARDS = 20
MARGIN_S = 30.0
MAX_SHARDS = 50_000  # of one job; see Planner
MAX_OBJECT_RECORDS = 12_000_000  # of one object; one of 5 GiB has as many of 447 bytes
MAX_RUNS = 8  # that make no progress, before an input is given up


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans one job at a time. `catalog_sha256` names the catalog in the job's manifest.

    A shard holds at most `max_records`; one transaction adds at most `step_shards`. A job has at most
    `max_shards`, as one page, the manifest, names them all: 50,000 shards are up to 12.8 million
    records or 6.5 GB of text; one object at most `max_object_records`. Finalize (512 MB, 300 s) reads
    them in 250 queries of 200, which takes 25 s at a tenth of a second each, and at its peak holds
    2.2 KB for each (4.4 KB where keys have the 1,024 bytes that S3 allows): 110 to 220 MB, for a
    manifest of 20 to 65 MB.
    """

    doors: Doors
    catalog: Catalog
    catalog_sha256: str
    max_records: int = MAX_RECORDS
    step_shards: int = STEP_SHARDS
    max_shards: int = MAX_SHARDS
    max_inputs: int = MAX_INPUTS
    max_object_records: int = MAX_OBJECT_RECORDS

    def answer(self, event: Mapping[str, Any], time_left_s: Callable[[], float]) -> dict[str, list[dict[str, str]]]:
        """Handle an event of the plan queue (S3's own, or a pointer); returns the partial batch response."""
        return deliver("plan", event, lambda delivery: self.handle(delivery, time_left_s), self.doors.queue)

    def handle(self, delivery: SqsMessage, time_left_s: Callable[[], float]) -> None:
        """Plan the job that a message points to, or the jobs that its objects are."""
        if not is_s3_event(delivery.body):
            message = decode(delivery.body, "plan")
            self.run(message.tenant, message.job, time_left_s)
            return
        for created in parse_event(delivery.body):
            job = accept(created, self.doors)
            if job is not None:
                self.run(job.tenant, job.job, time_left_s)

    def run(self, tenant: str, job_id: str, time_left_s: Callable[[], float]) -> None:
        """Bring a job from SUBMITTED to RUNNING, or as far as time allows: then a pointer carries on."""
        job = load_job(self.doors.store, tenant, job_id)
        if job is None:
            log_event("job-unknown", level="warning", function="plan", job_id=job_id)
            return
        try:
            if job.state == state_machine.SUBMITTED:
                job = self._begin(job)
            if job.state == state_machine.PLANNING:
                job = self._plan(job, time_left_s)
            if job.state == state_machine.REDRIVING:
                if facts := self._pinned(JobSpec.from_json(job.spec)):
                    self.doors.store.write(state_machine.repin(job, facts))
                job = Redriver(self.doors).run(job, time_left_s)
        except ConditionFailed:  # a twin wrote first and goes on with its own message, or the job was cancelled
            log_event("plan-overtaken", function="plan", job_id=job_id)
            return
        if state_machine.ready_to_close(job) or state_machine.to_announce(job):
            self.doors.queue.send([QueueMessage("finalize", tenant, job_id)])

    def _begin(self, job: Job) -> Job:
        plan = Plan(expires_at=job.expires_at)
        spec = JobSpec.from_json(job.spec)
        facts: dict[str, Value] = {"catalog_sha256": self.catalog_sha256}
        try:
            parameters = parse_parameters(spec.task, spec.parameters)
            chosen = choose_head(spec.task, parameters, spec.model, self.catalog)
        except GlossaError as error:
            plan = replace(plan, n_inputs=0, n_problems=1, code=error.code, detail=error.message)
        else:
            model = self.catalog.model(chosen.model)
            most_tokens = MAX_TOKEN_VECTORS if parameters.answers_per_token else MAX_CHARS
            bounds = bounds_for(model, self.max_records, most_tokens=most_tokens)
            plan = replace(plan, max_records=bounds.max_records, max_chars=bounds.max_chars)
            facts |= {
                "model": model.name, "head": chosen.head, "model_revision": model.revision,
                "tokenizer_sha256": model.tokenizer_sha256,
            }  # fmt: skip
        self.doors.store.write(*state_machine.begin_planning(job, plan, self.doors.now_ms(), **facts))
        return self._reload(job)

    def _pinned(self, spec: JobSpec) -> dict[str, Value]:
        """Return what answers a redriven job: the catalog of today, unless it cannot answer it at all."""
        try:
            parameters = parse_parameters(spec.task, spec.parameters)
            chosen = choose_head(spec.task, parameters, spec.model, self.catalog)
        except GlossaError:
            return {}
        model = self.catalog.model(chosen.model)
        return {
            "model": model.name, "head": chosen.head, "model_revision": model.revision,
            "tokenizer_sha256": model.tokenizer_sha256, "catalog_sha256": self.catalog_sha256,
        }  # fmt: skip

    def _plan(self, job: Job, time_left_s: Callable[[], float]) -> Job:
        plan = load_plan(self.doors.store, job)
        if plan is None:
            raise GlossaError(f"job {job.job} is PLANNING without a plan. This is a bug.")
        self.doors.store.write(state_machine.plan_run(job, plan, 1))
        try:
            return self._plan_on(job, plan, time_left_s)
        except Exception as error:
            if is_transient(error):
                with suppress(ConditionFailed):  # then there was progress, which counts from zero anyway
                    self.doors.store.write(state_machine.plan_run(job, plan, -1))
            raise

    def _plan_on(self, job: Job, plan: Plan, time_left_s: Callable[[], float]) -> Job:
        if plan.n_inputs < 0:
            pinned = self._pin(job, plan, time_left_s)
            if pinned is None:
                return job
            plan = pinned
        self._send(job, plan)
        while plan.input < plan.n_inputs:
            if time_left_s() < MARGIN_S:
                self.doors.queue.send([QueueMessage("plan", job.tenant, job.job)])
                return job
            plan = self._cut(job, plan, time_left_s)
        self.doors.store.write(*state_machine.end_planning(job, plan, self.doors.now_ms()))
        log_event("planned", function="plan", job_id=job.job, count=plan.n_shards, records=plan.record)
        return self._reload(job)

    def _pin(self, job: Job, plan: Plan, time_left_s: Callable[[], float]) -> Plan | None:
        """Pin all inputs; return the plan as it then is, or None when time is up: then a pointer carries on."""
        if plan.runs >= MAX_RUNS:
            detail = f"the inputs could not be listed in {plan.runs} tries"
            return self._without_inputs(job, plan, Problem("unreadable", detail))
        before = last_input(self.doors.store, job)
        try:
            pinned = pin_inputs(job, plan, self.doors, lambda: time_left_s() >= MARGIN_S, self.max_inputs)
        except ObjectProblem as problem:
            return self._without_inputs(job, plan, problem.problem)
        if pinned is None:
            if last_input(self.doors.store, job) != before:  # a long listing is no planner that dies
                self.doors.store.write(state_machine.plan_run(job, plan, -1))
            self.doors.queue.send([QueueMessage("plan", job.tenant, job.job)])
        return pinned

    def _cut(self, job: Job, plan: Plan, time_left_s: Callable[[], float]) -> Plan:
        """Cut the rest of one input, or what time allows; return the plan as it then is."""
        source = load_input(self.doors.store, job, plan.input)
        if source is None:
            raise GlossaError(f"input {plan.input} of job {job.job} is not pinned. This is a bug.")
        if plan.runs >= MAX_RUNS:
            detail = f"planning stopped {plan.runs} times at byte {plan.offset} of this object without getting further"
            return self._problem(job, plan, source, Problem("unreadable", detail))
        try:
            spec = JobSpec.from_json(job.spec)
            found = read_runs(source, plan, spec.options, input_names(spec.task), self.doors)
            while plan.input == source.ordinal and time_left_s() >= MARGIN_S:
                batch = list(islice(found.runs, self.step_shards))
                self._check_room(plan, batch)
                plan = self._step(job, plan, source, batch, found)
        except ObjectProblem as problem:
            plan = self._problem(job, plan, source, problem.problem)
        return plan

    def _check_room(self, plan: Plan, batch: list[Run]) -> None:
        n_records = batch[-1].frames[-1].index + 1 if batch else 0
        if n_records > self.max_object_records:
            limit = f"got more than {self.max_object_records} records, at most that many in one object"
        elif plan.n_shards + len(batch) > self.max_shards:
            limit = f"got more than {self.max_shards} shards, at most that many in one job"
        else:
            return
        rest = f"what begins at byte {plan.offset} of this object" if plan.offset else "this object"
        before = plan.line if n_records > self.max_object_records else plan.record
        detail = f"{limit}: {rest} is not in it (the {before} records before are); send that as another job"
        raise ObjectProblem("too-large", detail)

    def _step(self, job: Job, plan: Plan, source: Input, batch: list[Run], found: Found) -> Plan:
        shards = tuple(_shards(plan, source, batch, self.doors.input_bucket, found))
        if found.staged:
            for shard, run in zip(shards, batch, strict=True):
                stage(job, shard, run, self.doors)
        after = replace(
            plan, record=plan.record + sum(s.n_records for s in shards), n_shards=plan.n_shards + len(shards)
        )
        if len(batch) < self.step_shards:
            after = replace(after, input=plan.input + 1, offset=0, line=0)
        else:
            after = replace(after, offset=batch[-1].end, line=batch[-1].frames[-1].index + 1)
        return self._write(job, plan, replace(after, unsent=tuple(s.shard for s in shards)), shards, None)

    def _problem(self, job: Job, plan: Plan, source: Input, problem: Problem) -> Plan:
        log_event("input-problem", level="warning", function="plan", job_id=job.job, code=problem.code)
        after = replace(plan, input=plan.input + 1, offset=0, line=0, n_problems=plan.n_problems + 1, unsent=())
        if not plan.code:
            name = visible(keys.name_of(source.key), keys.MAX_KEY_BYTES)
            after = replace(after, code=problem.code, detail=f"{name}: {problem.detail}")
        return self._write(job, plan, after, (), replace(source, code=problem.code, detail=problem.detail))

    def _without_inputs(self, job: Job, plan: Plan, problem: Problem) -> Plan:
        after = replace(plan, n_inputs=0, n_problems=1, code=problem.code, detail=problem.detail)
        return self._write(job, plan, after, (), None)

    def _write(self, job: Job, plan: Plan, after: Plan, shards: tuple[Shard, ...], problem: Input | None) -> Plan:
        after = replace(after, step=plan.step + 1, runs=0, updated_ms=self.doors.now_ms())
        self.doors.store.write(*state_machine.plan_step(job, plan, after, shards, problem))
        self._send(job, after)
        return after

    def _send(self, job: Job, plan: Plan) -> None:
        if plan.unsent:
            self.doors.queue.send([QueueMessage("work", job.tenant, job.job, shard) for shard in plan.unsent])

    def _reload(self, job: Job) -> Job:
        return load_job(self.doors.store, job.tenant, job.job) or job


def _shards(plan: Plan, source: Input, batch: list[Run], bucket: str, found: Found) -> list[Shard]:
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
            n_records=len(run.frames),
            framing=found.framing,
            columns=found.columns.to_json() if found.columns else "",
            staged=found.staged and not run.oversize,
            oversize=run.oversize,
            expires_at=source.expires_at,
        )
        shards.append(shard)
        record += shard.n_records
    return shards
