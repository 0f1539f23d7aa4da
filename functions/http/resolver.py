"""The resolver of every API function: an event in, an answer or problem details out, one log line per request.

Every error becomes a response here. The module opens no socket and draws no random number at import, so that a
SnapStart snapshot of it is safe. Must not know tasks, jobs or models.
"""

from __future__ import annotations

import json
import logging
import math
import re
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError, ServiceError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from pydantic import ValidationError

from functions.http.content_coding import BytesResponse
from functions.http.cors import NO_CORS, Cors
from functions.http.error_shapes import shaped
from functions.http.field_errors import field_errors, shortened
from functions.http.request_body import body_text, check_media_type, header, json_object, parse_json
from shared.content_types import JSON_TYPE
from shared.error_text import shown, visible
from shared.errors import BY_STATUS, BadRequest, GlossaError, MethodNotAllowed, NotFound, TooLarge, Unprocessable
from shared.limits import MAX_ANSWER_BYTES
from shared.log import log_event
from shared.trace_context import TRACEPARENT, TRACESTATE, XRAY_HEADER, TraceContext, continue_trace, new_trace

DEADLINE_MARGIN_S = 1.5  # the time that a function needs to answer after its work has been given up
Routes = Callable[[], Iterable[tuple[str, str]]]  # method and path, as in `/v1/jobs/<job>`

_IMPLIED = ("HEAD", "OPTIONS")  # answered without routes of their own
_MAX_DETAIL_CHARS = 4000

# Powertools writes whole request bodies into debug lines. No setting of the root logger may print them.
logging.getLogger("aws_lambda_powertools").setLevel(logging.WARNING)


class Context(Protocol):
    """The part of the Lambda context that we use."""

    @property
    def aws_request_id(self) -> str:
        """Id of the invocation."""
        ...

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the runtime ends this invocation."""
        ...


class Resolver(APIGatewayRestResolver):
    """Powertools' REST resolver with our bodies, errors and log line.

    `function` names the API function in the log. `routes` are the routes of the whole API, for the catch-all function;
    without it, the resolver knows its own routes. `fields` says what is expected of some fields of bodies, by name.
    `origins` says which pages of other origins may call. HEAD is answered as GET without a body, and OPTIONS on every
    path without asking who calls.
    """

    def __init__(
        self,
        function: str,
        routes: Routes | None = None,
        fields: Mapping[str, str] | None = None,
        origins: Cors = NO_CORS,
    ) -> None:
        super().__init__(json_body_deserializer=_any_json, serializer=to_json, debug=False)
        self._function = function
        self._origins = origins
        self._routes = routes
        self._fields = fields or {}
        self._log_fields: dict[str, Any] = {}
        self._timings_s: dict[str, float] = {}
        self._trace: TraceContext | None = None
        self._path = self._method = ""
        self.exception_handler(Exception)(self._bug_response)
        self.exception_handler([GlossaError])(self._error_response)
        self.exception_handler([ValidationError, RequestValidationError])(self._validation_response)
        self.exception_handler(ServiceError)(self._powertools_response)
        self.exception_handler(NotFoundError)(self._no_route_response)

    def resolve(self, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        """Answer one proxy event. Never raises: an unforeseen error becomes a 500 problem, and its type is logged."""
        started_s = time.perf_counter()
        self._log_fields, self._timings_s, self._trace = {}, {}, None
        self._path = self._method = ""
        try:
            self._path, self._method = str(event.get("path")), str(event.get("httpMethod"))
            self._log_fields["request_id"] = request_id(event, context)
            self._trace = continue_trace(*(header(event, name) for name in (TRACEPARENT, TRACESTATE, XRAY_HEADER)))
            self._log_fields["trace_id"] = self._trace.trace_id
            answer = self._answer(event, context)
        except Exception as error:  # noqa: BLE001 - nothing may pass: a traceback in the log could hold a caller's text
            answer = _as_proxy_answer(
                self._error_response(error) if isinstance(error, GlossaError) else self._bug_response(error)
            )
        seconds = time.perf_counter() - started_s
        headers = answer.setdefault("multiValueHeaders", {})
        headers["X-Request-Id"] = [str(self._log_fields.get("request_id", ""))]
        headers.setdefault("Server-Timing", [server_timing({"total": seconds})])  # where no stage was timed
        crosses = self._origins.origins and isinstance(event, Mapping)
        for name, value in (self._origins.headers(event) if crosses else {}).items():
            headers[name] = [", ".join((*headers.get(name, ()), value))]  # a route may vary by other headers too
        facts = {"status": answer["statusCode"], "seconds": round(seconds, 4), **self._log_fields}
        log_event("request", function=self._function, **facts)
        return answer

    def _answer(self, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        if event.get("httpMethod") == "OPTIONS":
            return _as_proxy_answer(self._options_response(event))
        if event.get("httpMethod") != "HEAD":
            return super().resolve(dict(event), context)
        return super().resolve({**event, "httpMethod": "GET"}, context) | {"body": "", "isBase64Encoded": False}

    def _options_response(self, event: Mapping[str, Any]) -> Response[str]:
        """Answer a browser that asks what it may send, or whoever asks for the methods of a path."""
        self.add_log_fields(route="OPTIONS")
        allow = self._methods_of(self._path)
        preflight = self._origins.preflight(event)  # of an unknown path too, so that the page can read the 404
        if not allow and preflight is None:
            raise NotFound(f"no route OPTIONS {visible(self._path)}", hint="see GET /v1/openapi.json")
        return Response(204, None, "", {**({"Allow": ", ".join(allow)} if allow else {}), **(preflight or {})})

    @property
    def trace(self) -> TraceContext:
        """The trace of the current request, with a span of this function."""
        return self._trace or new_trace()

    def text(self) -> str:
        """Return the body of the current request, or "" when there is none.

        Raises UnsupportedMedia, TooLarge, BadRequest. A body that no route reads is never checked.
        """
        event = self.current_event.raw_event
        check_media_type(event)
        return body_text(event)

    def json(self) -> dict[str, object]:
        """Return the body of the current request as a JSON object. Raises as `text`, and Unprocessable."""
        return json_object(self.text())

    def query(self, *known: str) -> dict[str, str]:
        """Return the query parameters of the current request, without those of a signature (`X-Amz-…`).

        Raises Unprocessable for a parameter that is not `known`, or that has several values.
        """
        given = dict(self.current_event.query_string_parameters or {})
        query = {name: value for name, value in given.items() if not name.lower().startswith("x-amz-")}
        if unknown := sorted(set(query) - set(known)):
            raise Unprocessable(
                f"got the query parameter {shown(unknown[0])}, expected {' or '.join(known) or 'none here'}"
            )
        for name, values in self.current_event.multi_value_query_string_parameters.items():
            if name in query and len(found := list(dict.fromkeys(values))) > 1:
                raise Unprocessable(f"got the query parameter {shown(name)} as {shown(found)}, expected it once")
        return query

    def refuse_other_methods(self) -> None:
        """Raise MethodNotAllowed when the path of the current request is served, but with other methods."""
        path, method = self.current_event.path, self.current_event.http_method
        allow = self._methods_of(path)
        if allow and method not in allow:
            wanted = " or ".join(each for each in allow if each not in _IMPLIED)
            raise MethodNotAllowed(f"got {self._method} on {visible(path)}, expected {wanted}", allow)

    def add_log_fields(self, **facts: object) -> None:
        """Add fields to the log line of this request. shared.log has the list of allowed fields; text is never one."""
        self._log_fields |= facts

    def add_timings(self, **timings_s: float) -> None:
        """Keep the seconds of stages for the Server-Timing header of this answer, even if it becomes an error."""
        self._timings_s |= timings_s

    def ok(self, value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response[str]:
        """Answer with a JSON value. Raises TooLarge above 5 MB, because a function cannot return more."""
        body = to_json(value)
        if (n_bytes := len(body.encode())) > MAX_ANSWER_BYTES:
            raise TooLarge(
                f"got an answer of {n_bytes} bytes, at most {MAX_ANSWER_BYTES}",
                hint="send fewer inputs, or a batch job: POST /v1/jobs",
            )
        self._note_route()
        return Response(status, JSON_TYPE, body, {**(headers or {}), **self._timing_header()})

    def bytes_answer(self, body: bytes, headers: Mapping[str, str]) -> Response[bytes] | Response[str]:
        """Answer with bytes as they are. JSON goes as text, because Powertools would encode it once more."""
        self._note_route()
        sent = {**headers, **self._timing_header()}
        if headers.get("Content-Type", "").startswith(JSON_TYPE) and "Content-Encoding" not in headers:
            return Response(200, None, body.decode(errors="replace"), sent)
        return BytesResponse(200, None, body, sent)

    def _note_route(self) -> None:
        route = self.context.get("_route")
        if route is not None:  # the rule, not the path: a path may hold a caller's words
            self._log_fields.setdefault("route", f"{route.method} {route.path}")

    def _timing_header(self) -> dict[str, str]:
        return {"Server-Timing": server_timing(self._timings_s)} if self._timings_s else {}

    def _error_response(self, error: GlossaError, **more: object) -> Response[str]:
        problem = error.to_problem(f"urn:glossa:request:{self._log_fields.get('request_id', '')}") | more
        problem["detail"] = shortened(error.message, _MAX_DETAIL_CHARS)  # a message may quote what came in
        headers = {"Cache-Control": "no-store", **self._timing_header()}
        if error.retry_after_s is not None and math.isfinite(error.retry_after_s):
            headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
        if isinstance(error, MethodNotAllowed) and error.allow:
            headers["Allow"] = ", ".join(error.allow)
        self._note_route()
        status, kind, body = shaped(self._path, problem)
        self.add_log_fields(status=status, code=error.code, retryable=error.retryable)
        return Response(status, kind, json.dumps(body), headers)

    def _bug_response(self, error: Exception) -> Response[str]:
        self.add_log_fields(error_type=type(error).__name__, reason=_raised_at(error))
        return self._error_response(
            GlossaError("the service failed at this request; the fault is ours, not the request's")
        )

    def _validation_response(self, error: ValidationError | RequestValidationError) -> Response[str]:
        said, faults = field_errors(list(error.errors()), self._fields)
        return self._error_response(Unprocessable(said), errors=faults)

    def _powertools_response(self, error: ServiceError) -> Response[str]:
        return self._error_response(BY_STATUS.get(error.status_code, BadRequest)(str(error.msg)))

    def _no_route_response(self, _: NotFoundError) -> Response[str]:
        self.add_log_fields(route="unmatched")
        path, method = self.current_event.path, self.current_event.http_method
        try:
            self.refuse_other_methods()
        except MethodNotAllowed as error:
            return self._error_response(error)
        return self._error_response(NotFound(f"no route {method} {visible(path)}", hint="see GET /v1/openapi.json"))

    def _methods_of(self, path: str) -> list[str]:
        """Return the methods of a path, sorted, none when no route has it. HEAD and OPTIONS come with the others."""
        matching = [(method, rule) for method, rule in self._rules() if rule.match(path)]
        nearest = min(
            (rule.groups for _, rule in matching), default=0
        )  # `/a/<b>/c` says more of a path than `/a/<b>/<d>`
        served = {method for method, rule in matching if rule.groups == nearest}
        return sorted({*served, "OPTIONS", *({"HEAD"} if "GET" in served else ())}) if served else []

    def _rules(self) -> Iterable[tuple[str, re.Pattern[str]]]:
        if self._routes is not None:
            return ((method, self._compile_regex(path)) for method, path in self._routes())
        return ((route.method, route.rule) for route in (*self._static_routes, *self._dynamic_routes))


def deadline(context: Context, clock: Callable[[], float] = time.monotonic) -> float:
    """Return when this invocation's work must be over, in seconds on the monotonic clock."""
    return clock() + context.get_remaining_time_in_millis() / 1000 - DEADLINE_MARGIN_S


def request_id(event: Mapping[str, Any], context: Any) -> str:
    """Return the gateway's id of the request, else the runtime's; safe in a header and a log."""
    request_context = event.get("requestContext")
    known = request_context.get("requestId") if isinstance(request_context, Mapping) else None
    return re.sub(r"[^A-Za-z0-9._=-]", "", str(known or getattr(context, "aws_request_id", "")))[:64]


def server_timing(timings_s: Mapping[str, float]) -> str:
    """Return the value of a Server-Timing header: stage;dur=milliseconds, in the order given."""
    return ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in timings_s.items())


def to_json(value: object) -> str:
    """Encode without spaces or escapes of letters. Raises ValueError on NaN, which is not JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _any_json(text: str) -> Any:
    return parse_json(text)


def _raised_at(error: BaseException) -> str:
    """Return file and line where an error was raised. A log may say no more of an unforeseen error."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else ""


def _as_proxy_answer(response: Response[str]) -> dict[str, Any]:
    return {
        "statusCode": response.status_code,
        "body": response.body,
        "isBase64Encoded": False,
        "multiValueHeaders": {name: [value] for name, value in response.headers.items()},
    }
