"""Makes an OpenAPI document of a table of operations. Powertools writes it from typed stubs, which answer no request.

Annotations are real objects, not strings, because the stubs are made in a loop. Must not know any route.
"""

import inspect
import json
import re
from collections.abc import Iterable
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.event_handler.openapi.params import Body
from pydantic import BaseModel

from functions.http.openapi import problems
from functions.http.openapi.operation import PATH_PARAMETERS, Operation
from shared.content_types import JSON_TYPE

TITLE, VERSION = "Glossa", "1"
REF = "#/components/schemas/{model}"
_OF_THE_LIBRARY = ("HTTPValidationError", "ValidationError", "ResponseValidationError")
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
# What the copy in docs/ says. The document that is served names the address where it is served first.
SERVERS = (
    {
        "url": "https://{domain}",
        "description": "a name of your own, by the parameter DomainName",
        "variables": {"domain": {"default": "nlp.example.com"}},
    },
    {
        "url": "https://{api}.execute-api.{region}.amazonaws.com/live",
        "description": "the address of API Gateway, which `glossa deploy` prints",
        "variables": {"api": {"default": "a1b2c3d4e5"}, "region": {"default": "us-east-1"}},
    },
    {
        "url": "http://127.0.0.1:{port}/_aws/execute-api/{api}/live",
        "description": "the stack of `make run`, which prints it",
        "variables": {"port": {"default": "4566"}, "api": {"default": "a1b2c3d4e5"}},
    },
)


def page(operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the OpenAPI document of the operations."""
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
    schemas: dict[str, Any] = made["components"]["schemas"]
    for name in _OF_THE_LIBRARY:
        schemas.pop(name, None)
    made["components"] |= {"securitySchemes": SECURITY_SCHEMES, "headers": dict(problems.HEADERS), "responses": {}}
    for operation in operations:
        path = re.sub(r"<(\w+)>", r"{\1}", operation.path)
        _complete(made["paths"][path][operation.method.lower()], operation, made["components"])
    made["servers"] = list(SERVERS)
    made["security"] = [{name: []} for name in SECURITY_SCHEMES]
    return made


def refusals(operation: Operation) -> list[int]:
    """Return the statuses of the errors that an operation can answer with."""
    found = {*problems.OF_EVERY_OPERATION, *operation.refusals}
    if operation.body is not None:
        found.update(problems.OF_A_BODY)
    if operation.checks_query:
        found.add(422)
    if "<" in operation.path:
        found.add(404)
    return problems.refused_with(found, operation.error)


def _complete(described: dict[str, Any], operation: Operation, components: dict[str, Any]) -> None:
    """Put in what the library does not write: all statuses, headers, examples, and bodies that are bytes."""
    answer = described["responses"][str(operation.status)]
    answer["headers"] = dict(problems.HEADER_REFS)
    answer["description"] = "The answer."
    written = answer["content"].pop(JSON_TYPE)
    answer["content"][operation.media_type] = written
    for media_type in operation.answer_types:
        answer["content"][media_type] = {"schema": {"type": "string", "format": "binary"}}
    described["responses"] = {str(status): answer for status in (operation.status, *operation.also)}
    for status in refusals(operation):
        name = problems.name_of(status, operation.error)
        described["responses"][str(status)] = {"$ref": f"#/components/responses/{name}"}
        components["responses"].setdefault(name, problems.response(status, operation.error))
    for kind in (operation.error, problems.Problem):
        _describe(kind, components["schemas"])
    for parameter in described.get("parameters", ()):
        parameter["schema"] = _without_null(parameter["schema"])
    if "requestBody" in described:
        _complete_body(described["requestBody"], operation)


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter: it is left out or a value, and no address or header can say null."""
    kinds = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {**{name: value for name, value in schema.items() if name != "anyOf"}, **kinds[0]}


def _complete_body(described: dict[str, Any], operation: Operation) -> None:
    described["required"] = operation.needs_body
    content = described["content"]
    if operation.examples:
        content[JSON_TYPE]["examples"] = {name: {"value": body} for name, body in operation.examples.items()}
    for media_type in operation.body_types:
        content[media_type] = {"schema": {"type": "string", "format": "binary"}}


def _describe(kind: type[BaseModel], schemas: dict[str, Any]) -> None:
    if kind.__name__ not in schemas:
        described = kind.model_json_schema(ref_template=REF)
        schemas |= described.pop("$defs", {}) | {kind.__name__: described}


def _stub(operation: Operation) -> Any:
    def stub(**_: Any) -> None:
        """Do nothing: only the signature is read."""

    named = {**PATH_PARAMETERS, **operation.path_parameters}
    annotations: dict[str, Any] = {name: named[name] for name in re.findall(r"<(\w+)>", operation.path)}
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
