"""What the synchronous routes take and give, for the OpenAPI page; made from the tasks' own parameter classes.

The desks check requests, not these classes; tests hold that both agree. Must not know a journey or a model.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from functions.openapi import Operation
from functions.pipeline.schema import BOUNDS
from functions.pipeline.schemas import SCHEMAS

Text = Annotated[str, Field(min_length=1, max_length=BOUNDS.max_chars)]


class Input(BaseModel):
    """One text."""

    model_config = ConfigDict(extra="forbid")
    text: Text


class Pair(Input):
    """One text, or a pair of texts read together."""

    text_pair: Text | None = None


class Usage(BaseModel):
    """What was done to each input, in the inputs' order."""

    n_tokens: list[int]
    n_windows: list[int]
    truncated: list[bool]


class Answer(BaseModel):
    """One result per input; its shape is the one of the transformers pipeline of the task."""

    model: str
    head: str
    task: str
    results: list[Any]
    usage: Usage
    timings_ms: dict[str, float]


class Tokens(BaseModel):
    """The tokens of one input, special ones included; offsets are half-open, in Unicode code points."""

    ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]
    special_tokens_mask: list[int]
    count: int
    n_windows: int | None


class TokensAnswer(BaseModel):
    """The tokens of each input."""

    model: str
    results: list[Tokens]


def _task_body(task: str, parameters: Any) -> type[BaseModel]:
    item = Pair if parameters.takes_pairs else Input
    name = "".join(word.title() for word in task.split("-"))
    renamed = create_model(f"{name}Parameters", __base__=parameters, __doc__=parameters.__doc__)
    return _body(name, item, parameters=(renamed | None, None))


def _body(name: str, item: type[Input], **more: Any) -> type[BaseModel]:
    one: Any = Text | item
    many: Any = Annotated[list[one], Field(min_length=1, max_length=BOUNDS.max_inputs)]
    model = Annotated[str | None, Field(min_length=1, description="model or model:head; absent: the task's default")]
    fields: Any = {"inputs": (one | many, ...), "model": (model, None), **more}
    made: type[BaseModel] = create_model(f"{name}Body", __config__=ConfigDict(extra="forbid"), **fields)
    return made


OPERATIONS = (
    *(
        Operation("POST", f"/v1/{task}", f"Do {task} over texts", _task_body(task, parameters), Answer)
        for task, parameters in SCHEMAS.items()
    ),
    Operation("POST", "/v1/tokenize", "Tokens of texts, as a model reads them", _body("Tokenize", Pair), TokensAnswer),
    Operation("GET", "/v1/models", "Models there are, their tasks, heads and labels"),
    Operation("GET", "/v1/models/<name>", "One model"),
    Operation("GET", "/v1/health", "Whether the model server takes requests"),
    Operation("GET", "/v1/openapi.json", "This page"),
)
