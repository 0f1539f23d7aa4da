"""The OpenAPI page of the synchronous routes, made from the tasks' own parameter classes.

Powertools writes it from typed stubs; nothing here answers a request. Annotations are real objects, not
strings, because the stubs are made in a loop. Must not know a journey or a model.
"""

import inspect
import json
import sys
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.event_handler.openapi.params import Body
from pydantic import BaseModel, ConfigDict, Field, create_model

from functions.pipeline.schema import BOUNDS
from functions.pipeline.schemas import SCHEMAS

TITLE, VERSION = "Glossa", "1"
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


class Problem(BaseModel):
    """Problem details, RFC 9457: what was got, then what was expected."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool
    hint: str | None = None
    retry_after_s: float | None = None
    instance: str | None = None


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document of the routes in `functions.infer.api`."""
    book = APIGatewayRestResolver(enable_validation=True)
    for task, parameters in SCHEMAS.items():
        _post(book, f"/v1/{task}", f"Do {task} over texts", _task_body(task, parameters), Answer)
    _post(book, "/v1/tokenize", "Tokens of texts, as a model reads them", _body("Tokenize", Pair), TokensAnswer)
    for path, summary in _GETS.items():
        stub = _named if "<name>" in path else _unnamed
        book.get(path, summary=summary, operation_id=_operation("get", path))(stub)
    page: dict[str, Any] = json.loads(book.get_openapi_json_schema(title=TITLE, version=VERSION))
    _replace_library_errors(page)
    return page


_GETS = {
    "/v1/models": "Models there are, their tasks, heads and labels",
    "/v1/models/<name>": "One model",
    "/v1/health": "Whether the model server takes requests",
    "/v1/openapi.json": "This page",
}


def _unnamed() -> dict[str, Any]:
    raise NotImplementedError


def _named(name: str) -> dict[str, Any]:
    raise NotImplementedError(name)


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


def _post(
    book: APIGatewayRestResolver, path: str, summary: str, body: type[BaseModel], answer: type[BaseModel]
) -> None:
    def stub(**_: Any) -> Any:
        raise NotImplementedError

    parameter = inspect.Parameter("body", inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[body, Body()])
    stub.__signature__ = inspect.Signature([parameter], return_annotation=answer)  # type: ignore[attr-defined] # what inspect reads
    stub.__annotations__ = {"body": parameter.annotation, "return": answer}
    book.post(path, summary=summary, operation_id=_operation("post", path))(stub)


def _operation(method: str, path: str) -> str:
    words = path.removeprefix("/v1/").replace("<", "").replace(">", "")
    return f"{method}_{words}".replace("/", "_").replace("-", "_").replace(".", "_")


def _replace_library_errors(page: dict[str, Any]) -> None:
    """Put our problem details where the library describes its own validation errors."""
    schemas: dict[str, Any] = page["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError", "ResponseValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = Problem.model_json_schema()
    problem = {
        "description": "Problem details",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for path in page["paths"].values():
        for operation in path.values():
            kept: Mapping[str, Any] = operation["responses"]
            operation["responses"] = {code: said for code, said in kept.items() if code != "422"} | {"default": problem}


if __name__ == "__main__":  # python -m functions.infer.operations > docs/openapi.json
    sys.stdout.write(json.dumps(document(), indent=2, sort_keys=True) + "\n")
