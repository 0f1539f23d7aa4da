"""What the routes of batch jobs and recipes answer, as types for the OpenAPI document.

Tests compare them with real answers. Must not know how an answer is made.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, WithJsonSchema

from functions.jobs.api.request_bodies import FormatBody
from functions.tasks.registry import TASK_NAMES

JobId = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
State = Literal[
    "CREATED",
    "SUBMITTED",
    "PLANNING",
    "RUNNING",
    "FINALIZING",
    "SUCCEEDED",
    "PARTIALLY_SUCCEEDED",
    "FAILED",
    "CANCELLING",
    "CANCELLED",
    "REDRIVING",
]
TaskName = Annotated[str, WithJsonSchema({"type": "string", "enum": [*TASK_NAMES]})]
Output = Literal["jsonl", "csv", "jsonl.gz"]
Next = Annotated[str | None, Field(description="the `cursor` of the next page; null: this is the last one")]
Time = Annotated[str | None, Field(description="in UTC, by ISO 8601")]


class Counts(BaseModel):
    """What was counted so far."""

    records: int
    succeeded: int
    failed: int
    shards: int
    shards_done: int
    shards_failed: int
    unreadable_inputs: int


class JobProblem(BaseModel):
    """Why a job ended so."""

    code: str
    detail: str | None


class Job(BaseModel):
    """A job: what it does, its state, and how far it came."""

    job: JobId
    state: State
    source: str
    recipe: str | None = None
    task: str | None
    model: str | None
    parameters: dict[str, Any] | None
    format: FormatBody | None
    output: Output
    prefix: str | None = None
    files: list[str] | None = None
    created_at: Time
    started_at: Time
    finished_at: Time
    counts: Counts
    progress: float | None = Field(description="from 0 to 1; null: the records are not counted yet")
    records_per_s: float
    eta_s: float | None = Field(description="seconds left; null: not known")
    error: JobProblem | None = None


class Upload(BaseModel):
    """A signed form: POST `fields`, then the file as `file`, to `url`."""

    name: str
    method: Literal["POST"]
    url: str
    fields: dict[str, str]
    max_bytes: int
    expires_in_s: int


class NewJob(Job):
    """A job, and how its files are uploaded. `start` is the path to post to after that."""

    uploads: list[Upload]
    start: str


class JobsPage(BaseModel):
    """Jobs, newest first."""

    jobs: list[Job]
    next: Next


class Moved(BaseModel):
    """The state of a job after a request. `status` is the path of the job."""

    job: JobId
    state: State
    status: str


class Redriven(Moved):
    """A job that works on its failed records again. `begun`: this request began it."""

    generation: int
    begun: bool


class DeletedJob(BaseModel):
    """A job that is gone."""

    job: JobId
    deleted: Literal[True]


class Place(BaseModel):
    """Where a record stands in its object, counted from 1."""

    key: str
    line: int | None = None
    row: int | None = None


class ErrorRow(BaseModel):
    """A record that was not answered, and why."""

    index: int
    source: Place | None = None
    id: Any = Field(default=None, description="of the record, if it has one")
    error: JobProblem


class ErrorsPage(BaseModel):
    """Error rows of a job that has ended."""

    job: JobId
    state: State
    errors: list[ErrorRow]
    next: Next


class ManifestLink(BaseModel):
    """The manifest, with a link."""

    key: str
    sha256: Sha256
    url: str


class Part(ManifestLink):
    """A part of the results, with a link."""

    first_index: int
    records: int
    succeeded: int
    failed: int


class ResultsPage(BaseModel):
    """Parts of a job's results, in order."""

    job: JobId
    state: State
    output: Output
    counts: Counts
    manifest: ManifestLink | None
    parts: list[Part]
    next: Next
    links_expire_in_s: int
    error: JobProblem | None = None


class Recipe(BaseModel):
    """A recipe, and the inbox whose objects it is for."""

    name: str
    inbox: str
    task: TaskName
    model: str
    parameters: dict[str, Any]
    format: FormatBody
    output: Output
    created_at: Time


class RecipesPage(BaseModel):
    """Recipes, by name."""

    recipes: list[Recipe]
    next: Next


class DeletedRecipe(BaseModel):
    """A recipe that is gone."""

    name: str
    deleted: Literal[True]
