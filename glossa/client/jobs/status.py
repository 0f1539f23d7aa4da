"""The status of a batch job. Must not know HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

END_STATES = frozenset({"SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED"})


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job or a record has no answer: a code that stays the same, and a text for people."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How far a job is. `progress` goes from 0 to 1, and is None until all records are counted.

    `failed` are records that ended in an error row, `unreadable_inputs` files without records. `raw` is the answer of
    the API.
    """

    job: str
    state: str
    task: str
    model: str | None
    records: int
    succeeded: int
    failed: int
    unreadable_inputs: int
    progress: float | None
    records_per_s: float
    eta_s: float | None
    created_at: str
    finished_at: str | None
    error: JobError | None
    raw: Mapping[str, Any]

    @property
    def ended(self) -> bool:
        """Whether the job has ended, well or not."""
        return self.state in END_STATES

    @property
    def succeeded_wholly(self) -> bool:
        """Whether every record has an answer."""
        return self.state == "SUCCEEDED"


def job_status(found: Mapping[str, Any]) -> JobStatus:
    """Read the status that the API answers."""
    counts, error = found["counts"], found.get("error")
    return JobStatus(
        job=found["job"],
        state=found["state"],
        task=found["task"],
        model=found.get("model"),
        records=counts["records"],
        succeeded=counts["succeeded"],
        failed=counts["failed"],
        unreadable_inputs=counts["unreadable_inputs"],
        progress=found["progress"],
        records_per_s=found["records_per_s"],
        eta_s=found["eta_s"],
        created_at=found["created_at"],
        finished_at=found.get("finished_at"),
        error=JobError(error["code"], error["detail"]) if error else None,
        raw=found,
    )
