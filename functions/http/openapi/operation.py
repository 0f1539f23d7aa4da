"""One operation of the API as the OpenAPI document needs it, and the parameters that paths have.

Annotations are real objects, not strings, because the document is made of them. Must not know any one route.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler.openapi.params import Path
from pydantic import BaseModel

from functions.http.openapi.problems import Problem
from functions.tasks.registry import TASK_NAMES
from shared.content_types import JSON_TYPE

JOB_ID = "0123456789abcdef0123456789abcdef"
REFERENCE = "^[a-z0-9][a-z0-9._-]{0,62}(:[a-z0-9][a-z0-9._-]{0,62})?$"  # model, or model:head
NAME = "^[a-z0-9][a-z0-9._-]{0,62}$"
Reference = Annotated[str, Path(description="model, or model:head", pattern=REFERENCE, examples=["mini:topic"])]
ModelPath = Annotated[str, Path(description="name of a model", pattern=NAME, examples=["mini"])]
# The parameters of paths, by name. A path may give one of its own instead.
PATH_PARAMETERS: Mapping[str, Any] = {
    "job": Annotated[str, Path(description="id of a job", pattern="^[0-9a-f]{32}$", examples=[JOB_ID])],
    "model": Reference,
    "name": Annotated[str, Path(description="name of a recipe", pattern=NAME, examples=["reviews"])],
    "task": Annotated[Literal[TASK_NAMES], Path(description="name of a task")],
    "version": Annotated[
        str, Path(description="revision of the model", pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", examples=["1"])
    ],
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one route.

    `body` and `answer` are what pydantic can describe; `query` holds annotations of query parameters and headers by
    name, and `path_parameters` those of the path that are not the usual ones. `examples` are whole bodies by name, each
    of which is answered as it stands. `status` is that of the answer, and `also` holds others with the same answer.
    `error` is the form of its errors. `refusals` are statuses of errors besides those that follow from the rest.
    `body_types` and `answer_types` are media types besides JSON, of bytes. `needs_body` is false for a body that may
    be absent. `checks_query` is false where query parameters that nobody reads are let pass.
    """

    method: str
    path: str
    summary: str
    body: type[BaseModel] | None = None
    answer: Any = dict[str, Any]
    status: int = 200
    query: Mapping[str, Any] = field(default_factory=dict)
    error: type[BaseModel] = Problem
    media_type: str = JSON_TYPE
    also: tuple[int, ...] = ()
    refusals: tuple[int, ...] = ()
    examples: Mapping[str, Any] = field(default_factory=dict)
    path_parameters: Mapping[str, Any] = field(default_factory=dict)
    body_types: tuple[str, ...] = ()
    answer_types: tuple[str, ...] = ()
    needs_body: bool = True
    checks_query: bool = True
