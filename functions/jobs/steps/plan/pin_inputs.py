"""Finds the objects of a job and pins each by its version, so that a later upload cannot change what is planned.

Lists pages of objects, and pins each page in one transaction. A pinned object is never listed again, so that a planner
that was stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from functions.jobs.records import problem_codes
from functions.jobs.records.formats import ObjectProblem
from functions.jobs.state import keys, state_machine
from functions.jobs.state.items import Input, Job, PlanProgress
from functions.jobs.storage.contracts import ObjectStore, Table
from functions.jobs.storage.queries import last_input

PAGE_OBJECTS = 50  # listed in one page, and pinned in one transaction
MAX_INPUTS = 50_000  # of one job: each has at least one shard, and the manifest names them all


@dataclass(frozen=True, slots=True, kw_only=True)
class InputPinner:
    """Pins at most `max_inputs` objects of a job. `now_ms` returns epoch milliseconds."""

    table: Table
    objects: ObjectStore
    input_bucket: str
    now_ms: Callable[[], int]
    max_inputs: int = MAX_INPUTS

    def pin(self, job: Job, plan: PlanProgress, may_go_on: Callable[[], bool]) -> PlanProgress | None:
        """Pin the objects under the job's prefix, in the order of their keys, after those that are pinned already.

        Returns the plan with the number of inputs, or None when `may_go_on` said no. Raises ConditionFailed when
        another planner was first, and ObjectProblem when there are too many objects.
        """
        last = last_input(self.table, job)
        n_inputs, after = (last.ordinal + 1, last.key) if last else (0, "")
        while job.source != "inbox":
            if not may_go_on():
                return None
            page = self.objects.list(self.input_bucket, _prefix(job), after=after, limit=PAGE_OBJECTS)
            found = self._inputs(job, [listed.key for listed in page.objects], n_inputs)
            self._check_count(n_inputs + len(found))
            writes = {write.key: write for each in found for write in state_machine.pin(job, plan, each)}
            if writes:
                self.table.write(*writes.values())
            n_inputs += len(found)
            if not page.more or not page.objects:
                break
            after = page.objects[-1].key
        pinned = replace(plan, step=plan.step + 1, runs=0, n_inputs=n_inputs, updated_ms=self.now_ms())
        self.table.write(*state_machine.plan_step(job, plan, pinned, (), None))
        return pinned

    def _inputs(self, job: Job, names: list[str], ordinal: int) -> list[Input]:
        """Return what these keys hold now. Folders and objects that were deleted meanwhile are left out."""
        found: list[Input] = []
        for name in names:
            stored = None if name.endswith("/") else self.objects.head(self.input_bucket, name)
            if stored is not None:
                each = Input(
                    ordinal=ordinal + len(found), key=stored.key, etag=stored.etag, version=stored.version,
                    size_bytes=stored.size_bytes, expires_at=job.expires_at,
                )  # fmt: skip
                found.append(each)
        return found

    def _check_count(self, n_inputs: int) -> None:
        if n_inputs > self.max_inputs:
            detail = f"got more than {self.max_inputs} objects, at most that many in one job: name a longer prefix"
            raise ObjectProblem(
                problem_codes.TOO_LARGE, f"{detail}, or send JSON lines, which hold many texts in one object"
            )


def _prefix(job: Job) -> str:
    if job.source == "prefix":
        return keys.data_prefix(job.tenant) + job.names[0]
    return keys.input_prefix(job.tenant, job.job)
