"""The Python client of Glossa: typed calls of every task, batch jobs, retries, on threads and on event loops.

    from glossa.client import Client

It needs httpx2 and nothing else of this checkout, so that other programs can use it alone. Only signed calls to an AWS
account need botocore as well. Must not know the command line.
"""

from glossa.client.client import AsyncClient, Client
from glossa.client.errors import (
    ApiError,
    BadAnswer,
    BadRequest,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    InvalidRequest,
    NotEnded,
    NotFound,
    Overloaded,
    TooLarge,
    Unauthenticated,
    Unavailable,
    Unprocessable,
)
from glossa.client.jobs.jobs import AsyncJob, Job
from glossa.client.jobs.rows import Row
from glossa.client.jobs.spec import JobSpec, Webhook
from glossa.client.jobs.status import JobError, JobStatus
from glossa.client.retries import NO_RETRIES, Retries
from glossa.client.values import (
    Answer,
    Choice,
    Entity,
    FilledMask,
    Head,
    Label,
    Model,
    Models,
    RankedDocument,
    Result,
    Tokens,
    TokenWeight,
    Vector,
)

__all__ = [
    "NO_RETRIES",
    "Answer",
    "ApiError",
    "AsyncClient",
    "AsyncJob",
    "BadAnswer",
    "BadRequest",
    "Choice",
    "Client",
    "Conflict",
    "DeadlineExceeded",
    "Entity",
    "FilledMask",
    "Forbidden",
    "Head",
    "InvalidRequest",
    "Job",
    "JobError",
    "JobSpec",
    "JobStatus",
    "Label",
    "Model",
    "Models",
    "NotEnded",
    "NotFound",
    "Overloaded",
    "RankedDocument",
    "Result",
    "Retries",
    "Row",
    "TokenWeight",
    "Tokens",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "Unprocessable",
    "Vector",
    "Webhook",
]
