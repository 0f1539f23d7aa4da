"""The door frame of every API function: event in, problem details out, one log line per request.

Maps each error to a response in this one place, and names the tenant from verified claims only.
Must not know tasks, jobs or models. Opens no socket and keeps no randomness at import, so that a
SnapStart snapshot of it is safe.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Protocol

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError, ServiceError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from pydantic import ValidationError

from functions.http.request_body import body_text, json_object, parse_json, refuse_foreign
from shared.error_text import expected, got, shown, visible
from shared.errors import BadRequest, Forbidden, GlossaError, MethodNotAllowed, NotFound, TooLarge, Unprocessable
from shared.log import log_event

Auth = Literal["iam", "none"]
Json = Callable[[object], str]
Routes = Callable[[], Iterable[tuple[str, str]]]  # method and path, as in `/v1/jobs/<job>`

MAX_ANSWER_BYTES = 5_000_000
DEADLINE_MARGIN_S = 1.5
_TENANT = re.compile(r"[a-z0-9-]{1,63}")
_PRINCIPAL = re.compile(
    r"arn:aws[a-z-]*:(?:iam|sts)::(?P<account>\d{12}):(?P<kind>user|assumed-role|federated-user|root)(?P<path>/.+)?"
)
_SHOWN_CHARS = 80
_MAX_FAULTS = 20  # of one body; with the bound on a detail this keeps every refusal far below the answer's cap
_MAX_DETAIL_CHARS = 4000

# Powertools formats whole request bodies into debug lines; no setting of the root logger may print them.
logging.getLogger("aws_lambda_powertools").setLevel(logging.WARNING)


class Context(Protocol):
    """What of the Lambda context we use."""

    @property
    def aws_request_id(self) -> str:
        """Id of the invocation."""
        ...

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the runtime ends this invocation."""
        ...


class Resolver(APIGatewayRestResolver):
    """Powertools' REST resolver with our bodies, errors and log line. Make one with `make_resolver`."""

    def __init__(self, function: str, routes: Routes | None = None, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(json_body_deserializer=_any_json, serializer=to_json, debug=False)
        self._function = function
        self._routes = routes
        self._fields = fields or {}
        self._facts: dict[str, Any] = {}
        self._timings_s: dict[str, float] = {}
        self.exception_handler(Exception)(self._internal)
        self.exception_handler([GlossaError])(self._known)
        self.exception_handler([ValidationError, RequestValidationError])(self._invalid)
        self.exception_handler(ServiceError)(self._service)
        self.exception_handler(NotFoundError)(self._unmatched)

    def resolve(self, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        """Answer one proxy event. Never raises: what nobody foresaw is a 500 problem, logged by type."""
        started_s = time.perf_counter()
        self._facts, self._timings_s = {}, {}
        try:
            self._facts["request_id"] = request_id(event, context)
            answer = super().resolve(dict(event), context)
        except Exception as error:  # noqa: BLE001 - the last door: a traceback in the log could hold a caller's text
            answer = _plain(self._known(error) if isinstance(error, GlossaError) else self._internal(error))
        seconds = time.perf_counter() - started_s
        headers = answer.setdefault("multiValueHeaders", {})
        headers["X-Request-Id"] = [str(self._facts.get("request_id", ""))]
        headers.setdefault("Server-Timing", [server_timing({"total": seconds})])  # where no stage was timed
        facts = {"status": answer["statusCode"], "seconds": round(seconds, 4), **self._facts}
        log_event("request", function=self._function, **facts)
        return answer

    def text(self) -> str:
        """Return the body of the request in hand; "" when there is none.

        Raises UnsupportedMedia, TooLarge, BadRequest: here, and not for a body that no route reads.
        """
        event = self.current_event.raw_event
        refuse_foreign(event)
        return body_text(event)

    def json(self) -> dict[str, object]:
        """Return the body of the request in hand as a JSON object. Raises as `text`, and Unprocessable."""
        return json_object(self.text())

    def query(self, *known: str) -> dict[str, str]:
        """Return the query parameters of the request in hand.

        Raises Unprocessable for one that is not `known`, and for one that is there with several values. Those that
        carry a signature (`X-Amz-…`) are the gateway's.
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
        """Raise MethodNotAllowed when the path of the request in hand is served, but not by its method."""
        path, method = self.current_event.path, self.current_event.http_method
        allow = sorted({served for served, rule in self._served() if rule.match(path)})
        if allow and method not in allow:
            raise MethodNotAllowed(f"got {method} on {visible(path)}, expected {' or '.join(allow)}", allow)

    def note(self, **facts: object) -> None:
        """Add fields to this request's log line (allow-listed by shared.log; never text)."""
        self._facts |= facts

    def timed(self, **timings_s: float) -> None:
        """Remember stage seconds, for the Server-Timing of this answer, also if it becomes an error."""
        self._timings_s |= timings_s

    def ok(self, value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response[str]:
        """Answer with a JSON value. Raises TooLarge past 5 MB, which a function cannot return."""
        body = to_json(value)
        if (n_bytes := len(body.encode())) > MAX_ANSWER_BYTES:
            raise TooLarge(
                f"got an answer of {n_bytes} bytes, at most {MAX_ANSWER_BYTES}",
                hint="send fewer inputs, or a batch job: POST /v1/jobs",
            )
        self._note_route()
        return Response(status, "application/json", body, {**(headers or {}), **self._timing_header()})

    def _note_route(self) -> None:
        route = self.context.get("_route")
        if route is not None:  # the rule, never the path: a path may hold a caller's words
            self._facts.setdefault("route", f"{route.method} {route.path}")

    def _timing_header(self) -> dict[str, str]:
        return {"Server-Timing": server_timing(self._timings_s)} if self._timings_s else {}

    def _known(self, error: GlossaError, **more: object) -> Response[str]:
        problem = error.to_problem(f"urn:glossa:request:{self._facts.get('request_id', '')}") | more
        problem["detail"] = _short(error.message, _MAX_DETAIL_CHARS)  # a message may quote what came in
        headers = {"Cache-Control": "no-store", **self._timing_header()}
        if error.retry_after_s is not None and math.isfinite(error.retry_after_s):
            headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
        if isinstance(error, MethodNotAllowed) and error.allow:
            headers["Allow"] = ", ".join(error.allow)
        self._note_route()
        self.note(status=error.status, code=error.code, retryable=error.retryable)
        return Response(error.status, "application/problem+json", json.dumps(problem), headers)

    def _internal(self, error: Exception) -> Response[str]:
        self.note(error_type=type(error).__name__, reason=_place(error))
        return self._known(GlossaError("the service failed at this request; the fault is ours, not the request's"))

    def _invalid(self, error: ValidationError | RequestValidationError) -> Response[str]:
        found = error.errors()
        faults = [_fault(each, self._fields) for each in found[:_MAX_FAULTS]]
        said = [f"{f['field']}: got {f['got']}, expected {f['expected']}" for f in faults]
        if len(found) > _MAX_FAULTS:
            said.append(f"and {len(found) - _MAX_FAULTS} more")
        return self._known(Unprocessable("; ".join(said)), errors=faults)

    def _service(self, error: ServiceError) -> Response[str]:
        kinds = {kind.status: kind for kind in (GlossaError, Forbidden, NotFound, TooLarge, Unprocessable)}
        return self._known(kinds.get(error.status_code, BadRequest)(str(error.msg)))

    def _unmatched(self, _: NotFoundError) -> Response[str]:
        self.note(route="unmatched")
        path, method = self.current_event.path, self.current_event.http_method
        try:
            self.refuse_other_methods()
        except MethodNotAllowed as error:
            return self._known(error)
        return self._known(NotFound(f"no route {method} {visible(path)}", hint="see GET /v1/openapi.json"))

    def _served(self) -> Iterable[tuple[str, re.Pattern[str]]]:
        if self._routes is not None:
            return ((method, self._compile_regex(path)) for method, path in self._routes())
        return ((route.method, route.rule) for route in (*self._static_routes, *self._dynamic_routes))


def make_resolver(function: str, routes: Routes | None = None, *, fields: Mapping[str, str] | None = None) -> Resolver:
    """Make the resolver of one API function; `function` names it in the log.

    `routes` are those of the whole API, for the function that answers for what no other takes; else its own.
    `fields` names fields of bodies for which more is expected than a value of their kind, and what.
    """
    return Resolver(function, routes, fields)


def principal(event: Mapping[str, Any], auth: Auth) -> str:
    """Return the tenant, `[a-z0-9-]{1,63}`, from what API Gateway verified; never from headers or body.

    auth "none" -> "local". auth "iam" -> account and user, role or federated user of the SigV4 identity; a
    name that does not fit is cut and gets a hash, so that two principals never share a tenant.
    Raises Forbidden when there is no such identity.
    """
    if auth == "none":
        return "local"
    identity = (event.get("requestContext") or {}).get("identity") or {}
    match = _PRINCIPAL.fullmatch(str(identity.get("userArn") or ""))
    if match is None or match["account"] != identity.get("accountId"):
        raise Forbidden("got no verified IAM identity, expected a request signed with SigV4")
    parts = (match["path"] or "").split("/")
    name = parts[1] if match["kind"] == "assumed-role" and len(parts) > 1 else parts[-1]
    return _tenant_name(match["account"], match["kind"].removeprefix("assumed-"), name)


def tenant_hash(tenant: str) -> str:
    """Return the short hash that stands for a tenant in logs and on the wire."""
    return hashlib.sha256(tenant.encode()).hexdigest()[:16]


def deadline(context: Context, clock: Callable[[], float] = time.monotonic) -> float:
    """Return when this invocation's work must be over, in seconds on the monotonic clock."""
    return clock() + context.get_remaining_time_in_millis() / 1000 - DEADLINE_MARGIN_S


def server_timing(timings_s: Mapping[str, float]) -> str:
    """Return the value of a Server-Timing header: stage;dur=milliseconds, in the order given."""
    return ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in timings_s.items())


def request_id(event: Mapping[str, Any], context: Any) -> str:
    """Return the gateway's id of the request, else the runtime's; safe in a header and a log."""
    request_context = event.get("requestContext")
    known = request_context.get("requestId") if isinstance(request_context, Mapping) else None
    return re.sub(r"[^A-Za-z0-9._=-]", "", str(known or getattr(context, "aws_request_id", "")))[:64]


def to_json(value: object) -> str:
    """Encode compactly, text as it is. Raises ValueError on NaN, which no JSON reader must meet."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _any_json(text: str) -> Any:
    return parse_json(text)


def _tenant_name(account: str, kind: str, name: str) -> str:
    plain = f"{account}-{kind}-{name}" if name else f"{account}-{kind}"
    looks_hashed = re.search(r"-[0-9a-f]{12}$", plain)
    if _TENANT.fullmatch(plain) and not looks_hashed:
        return plain
    mark = hashlib.sha256(plain.encode()).hexdigest()[:12]
    return f"{re.sub(r'[^a-z0-9-]', '-', plain.lower())[:50]}-{mark}"


def _fault(error: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, str]:
    field = _short(".".join(str(part) for part in error["loc"] if part != "body") or "body", _SHOWN_CHARS)
    wanted = fields.get(field) if error["type"] != "extra_forbidden" else None
    return {"field": field, "got": got(error), "expected": wanted or expected(error)}


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _place(error: BaseException) -> str:
    """File and line where it was raised: all a log may say of an unforeseen error."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}" if frames else ""


def _plain(response: Response[str]) -> dict[str, Any]:
    return {
        "statusCode": response.status_code,
        "body": response.body,
        "isBase64Encoded": False,
        "multiValueHeaders": {name: [value] for name, value in response.headers.items()},
    }
