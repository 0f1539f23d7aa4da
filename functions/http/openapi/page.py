"""Makes an OpenAPI page of a table of operations. Powertools writes it from typed stubs, which answer no request.

Annotations are real objects, not strings, because the stubs are made in a loop. Must not know any route.
"""

import inspect
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.event_handler.openapi.params import Body
from pydantic import BaseModel

from shared.content_types import JSON_TYPE, PROBLEM_TYPE

TITLE, VERSION = "Glossa", "1"
# A stack takes one of these; its parameter Auth says which.
SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "an API key, or a JWT of a configured issuer"},
    "sigv4": {
        "type": "apiKey",
        "name": "Authorization",
        "in": "header",
        "description": "a signature with AWS credentials, version 4, for the service execute-api",
        "x-amazon-apigateway-authtype": "awsSigv4",
    },
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one route; `body` and `answer` are pydantic classes; `query` holds annotations by name.

    `error` is the form of its errors, where it is not a Problem, and `media_type` that of its answers.
    """

    method: str
    path: str
    summary: str
    body: type[BaseModel] | None = None
    answer: Any = dict[str, Any]
    status: int = 200
    query: Mapping[str, Any] = field(default_factory=dict)
    error: type[BaseModel] | None = None
    media_type: str = JSON_TYPE


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


def page(operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the OpenAPI document of the operations. An error is a Problem, unless the operation says otherwise."""
    operations = tuple(operations)
    book = APIGatewayRestResolver(enable_validation=True)
    for operation in operations:
        book.route(
            operation.path,
            operation.method,
            summary=operation.summary,
            operation_id=_operation_id(operation),
            status_code=operation.status,
        )(_stub(operation))
    made: dict[str, Any] = json.loads(book.get_openapi_json_schema(title=TITLE, version=VERSION))
    _replace_library_errors(made, {_operation_id(each): each.error for each in operations if each.error is not None})
    for each in operations:
        if each.media_type != JSON_TYPE:
            path = re.sub(r"<(\w+)>", r"{\1}", each.path)
            answer = made["paths"][path][each.method.lower()]["responses"][str(each.status)]
            answer["content"] = {each.media_type: answer["content"].pop(JSON_TYPE)}
    made["components"]["securitySchemes"] = SECURITY_SCHEMES
    made["security"] = [{name: []} for name in SECURITY_SCHEMES]
    return made


def _stub(operation: Operation) -> Any:
    def stub(**_: Any) -> None:
        """Do nothing: only the signature is read."""

    annotations: dict[str, Any] = dict.fromkeys(re.findall(r"<(\w+)>", operation.path), str)
    if operation.body is not None:
        annotations["body"] = Annotated[operation.body, Body()]
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind) for name, kind in annotations.items()
    ] + [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=None)
        for name, kind in operation.query.items()
    ]
    stub.__signature__ = inspect.Signature(parameters, return_annotation=operation.answer)  # type: ignore[attr-defined] # what inspect reads
    stub.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": operation.answer}
    return stub


def _operation_id(operation: Operation) -> str:
    return re.sub(r"\W+", "_", f"{operation.method.lower()}_{operation.path.removeprefix('/v1/')}").strip("_")


def _replace_library_errors(made: dict[str, Any], of_others: Mapping[str, type[BaseModel]]) -> None:
    """Put problem details, or the form in `of_others`, where the library describes its own validation errors."""
    schemas: dict[str, Any] = made["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError", "ResponseValidationError"):
        schemas.pop(name, None)
    for path in made["paths"].values():
        for operation in path.values():
            kind = of_others.get(operation["operationId"], Problem)
            described = kind.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= described.pop("$defs", {}) | {kind.__name__: described}
            schema = {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}
            content = {PROBLEM_TYPE if kind is Problem else JSON_TYPE: schema}
            kept: Mapping[str, Any] = operation["responses"]
            error = {"description": (kind.__doc__ or "").partition(":")[0], "content": content}
            operation["responses"] = {code: said for code, said in kept.items() if code != "422"} | {"default": error}
