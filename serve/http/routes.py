"""The HTTP side of a replica: the routes of one model, and how callers are checked, bodies read and errors answered.

The routes are infer, metadata, configuration, ready and statistics, below the path prefix of the model. Each also
answers below `versions/{revision}`, because v2 clients may name a version. Every call needs a token
(shared/call_token.py), except for the question whether a model is ready. The front application also uses `make_app`,
`read_body` and `error_response`. Must not know how calls are answered, where keys are kept, nor Ray.
"""

from __future__ import annotations

import asyncio
import re
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.http.callers import Verify
from serve.http.model_service import ModelService
from shared.call_token import TOKEN_HEADER, Caller
from shared.catalog import Model
from shared.error_text import visible
from shared.errors import (
    BadRequest,
    GlossaError,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    TooSlow,
    Unauthenticated,
    Unavailable,
)
from shared.log import log_event
from shared.protocol import Body, encode_error
from shared.trace_context import TRACEPARENT, read_trace

Endpoint = Callable[[Request], Awaitable[Response]]
REQUEST_ID_HEADER = "x-request-id"
MAX_LENGTH_DIGITS = 18
MAX_PATH_CHARS = 200
BODY_TIMEOUT_S = 30.0
OK, NOT_FOUND, METHOD_NOT_ALLOWED, INTERNAL_ERROR = 200, 404, 405, 500
CALLER_GONE = 499  # the caller closed the connection (nginx's number); nobody reads the response
CALLER = "glossa.caller"  # the key of a scope under which a checked caller travels
REQUEST_ID = re.compile(r"[A-Za-z0-9._=-]{1,64}", re.ASCII)
READY = re.compile(r"(?:/versions/[^/]+)?/ready")
LOG_PAUSE_S = 0.1
HASH_INLINE_BYTES = 256 * 2**10  # a thread hashes larger bodies, which takes longer than a millisecond

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


def model_app(service: ModelService) -> ASGIApp:
    """Make the application of one model. When it shuts down, the replica drains."""
    call_log = CallLog(service.model.name)

    async def infer(request: Request) -> Response:
        caller: Caller | None = request.scope[CALLER]
        tenant = None if caller is None else caller.tenant
        began_s = time.perf_counter()
        try:
            data = await read_body(request, service.limits.max_body_bytes)
            body = await service.infer(dict(request.headers), data, tenant)
        except GlossaError as error:
            call_log.note(request.headers, began_s, tenant, error)
            raise
        call_log.note(request.headers, began_s, tenant)
        return body_response(body)

    async def metadata(_: Request) -> Response:
        return JSONResponse(service.metadata())

    async def config(_: Request) -> Response:
        return JSONResponse(service.config())

    async def statistics(_: Request) -> Response:
        return JSONResponse(service.statistics())

    async def ready(_: Request) -> Response:
        try:
            await service.check_health()
        except Exception:  # noqa: BLE001 - not ready, whatever the reason; Ray's own check logs it
            return error_response(Unavailable(f"model {service.model.name} is not ready", retry_after_s=1.0))
        return JSONResponse({"name": service.model.name, "version": service.model.revision, "ready": True})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await service.drain()

    endpoints = {
        "/infer": ("POST", infer),
        "/": ("GET", metadata),
        "/config": ("GET", config),
        "/stats": ("GET", statistics),
        "/ready": ("GET", ready),
    }
    routes = [
        Route((base + path).rstrip("/") or "/", _checking_revision(endpoint, service.model), methods=[method])
        for base in ("", "/versions/{revision}")
        for path, (method, endpoint) in endpoints.items()
    ]
    return make_app(routes, service.verify, READY, lifespan)


class CallLog:
    """Writes log lines of infer calls, with the ids that the functions log for the same request.

    There is a line for each call that fails here, and for an answered call when the caller records its trace. Lines of
    answered calls and of refused ones are each at most ten a second, so that no load fills the disk.
    """

    def __init__(self, model: str | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._model = model
        self._clock = clock
        self._next_s = {"info": 0.0, "warning": 0.0}

    def note(
        self, headers: Mapping[str, str], began_s: float, tenant: str | None, error: GlossaError | None = None
    ) -> None:
        """Log a call that began at `began_s` of the performance counter, and ended with `error` or an answer."""
        trace = read_trace(headers.get(TRACEPARENT, ""))
        level = "info" if error is None else "warning" if error.status < INTERNAL_ERROR else "error"
        if (error is None and (trace is None or not trace.sampled)) or not self._may_write(level):
            return
        log_event(
            "call", level=level, model=self._model, status=OK if error is None else error.status,
            code=None if error is None else error.code, seconds=round(time.perf_counter() - began_s, 4),
            request_id=_known_id(headers), trace_id=None if trace is None else trace.trace_id,
            tenant_hash=tenant,
        )  # fmt: skip

    def _may_write(self, level: str) -> bool:
        now_s = self._clock()
        if now_s < self._next_s.get(level, 0.0):
            return False
        if level in self._next_s:
            self._next_s[level] = now_s + LOG_PAUSE_S
        return True


def _known_id(headers: Mapping[str, str]) -> str | None:
    """Return the id of a request, None when it is not one: a stranger could put text into it, which is never logged."""
    found = headers.get(REQUEST_ID_HEADER, "")
    return found if REQUEST_ID.fullmatch(found) else None


def _checking_revision(endpoint: Endpoint, model: Model) -> Endpoint:
    """Return an endpoint that refuses a path with another revision than the model has."""

    async def checked(request: Request) -> Response:
        asked = request.path_params.get("revision", model.revision)
        if asked != model.revision:
            raise NotFound(f"model {model.name} has no version {asked[:64]!r} here; version: {model.revision}")
        return await endpoint(request)

    return checked


def make_app(
    routes: Sequence[Route], verify: Verify, is_open: re.Pattern[str], lifespan: Lifespan | None = None
) -> ASGIApp:
    """Make an application whose errors are v2 JSON. Its route "/" also answers at the prefix without a slash.

    `verify` checks every call before any byte of its body is read. Only GET of a path, below the prefix, that fits
    `is_open` as a whole needs no token. An unhandled exception is a bug of ours. Its answer is a 500, and the log says
    where it was raised. The log leaves out its message, which may hold data of a caller.
    """
    handlers = {
        GlossaError: _on_glossa_error,
        HTTPException: _on_router_error,
        ClientDisconnect: _on_disconnect,
        Exception: _on_unhandled_error,
    }
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)
    app.router.redirect_slashes = False
    refusals = CallLog()

    async def rooted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                caller = _caller(scope, verify, is_open)
            except Unauthenticated as error:
                refusals.note(Headers(scope=scope), time.perf_counter(), None, error)
                await error_response(error)(scope, receive, send)
                return
            slash = "/" if scope["path"] == scope.get("root_path", "") else ""
            scope = {**scope, "path": scope["path"] + slash, CALLER: caller}
        try:
            await app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - _on_unhandled_error has answered it
            place = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{place.filename}:{place.lineno} {place.name}"
            log_event("unhandled-error", level="error", error_type=type(error).__name__, reason=reason)

    return rooted


def _caller(scope: Scope, verify: Verify, is_open: re.Pattern[str]) -> Caller | None:
    """Return who calls, None when nobody needs to say. Raises Unauthenticated."""
    path: str = scope["path"]
    if scope["method"] == "GET" and is_open.fullmatch(path.removeprefix(scope.get("root_path", ""))):
        return None
    sent = [value for name, value in scope["headers"] if name == TOKEN_HEADER.encode()]
    if len(sent) > 1:
        raise Unauthenticated(f"got the header {TOKEN_HEADER} {len(sent)} times, expected it once")
    query = scope["query_string"].decode("latin-1")
    target = quote(path, safe="/~") + (f"?{query}" if query else "")
    return verify(scope["method"], target, sent[0].decode("latin-1") if sent else "")


def body_response(body: Body, status: int = OK) -> Response:
    """Return the response with an encoded body and its headers."""
    return Response(body.data, status, headers=dict(body.headers))


def error_response(error: GlossaError) -> Response:
    """Return the response of an error: v2 JSON, with Retry-After when the error has one."""
    return body_response(encode_error(error), error.status)


async def read_body(request: Request, max_bytes: int, within_s: float = BODY_TIMEOUT_S) -> bytes:
    """Read a body of at most `max_bytes`. One that declares more is refused before any byte is read.

    Raises TooLarge, or TooSlow when the body is not complete after `within_s`. A slow body must not hold one of the
    replica's request slots for longer. Raises Unauthenticated for a body that the caller's token is not about.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and (len(declared) > MAX_LENGTH_DIGITS or int(declared) > max_bytes):
        raise TooLarge(f"got a body of {declared[:MAX_LENGTH_DIGITS]} bytes, at most {max_bytes}")
    chunks: list[bytes] = []
    n_bytes = 0
    try:
        async with asyncio.timeout(within_s):
            async for chunk in request.stream():
                n_bytes += len(chunk)
                if n_bytes > max_bytes:
                    raise TooLarge(f"got a body of at least {n_bytes} bytes, at most {max_bytes}")
                chunks.append(chunk)
    except TimeoutError:
        raise TooSlow(
            f"got {n_bytes} bytes of a body in {within_s:g} s, expected all of it", hint="send it anew"
        ) from None
    data = b"".join(chunks)
    caller: Caller | None = request.scope[CALLER]
    if caller is not None and len(data) <= HASH_INLINE_BYTES:
        caller.check_body(data)
    elif caller is not None:
        await asyncio.to_thread(caller.check_body, data)
    return data


async def _on_glossa_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, GlossaError):
        raise TypeError(f"got {type(error).__name__}, expected one of our errors. This is a bug.")
    if error.status == INTERNAL_ERROR:
        request_id = _known_id(request.headers)
        log_event("internal", level="error", code=error.code, reason=error.message, request_id=request_id)
    return error_response(error)


async def _on_router_error(request: Request, error: Exception) -> Response:
    """Answer what the router refused: an unknown path, or a method that the path does not take."""
    if not isinstance(error, HTTPException):
        raise TypeError(f"got {type(error).__name__}, expected a refusal of the router. This is a bug.")
    path = visible(request.url.path, MAX_PATH_CHARS)
    if error.status_code == NOT_FOUND:
        return error_response(NotFound(f"no route {request.method} {path}"))
    allowed = sorted(filter(None, (error.headers or {}).get("Allow", "").split(", ")))
    if error.status_code != METHOD_NOT_ALLOWED or not allowed:
        return error_response(BadRequest(f"{request.method} {path} is not possible"))
    message = f"got {request.method} on {path}, expected {' or '.join(allowed)}"
    response = error_response(MethodNotAllowed(message, allowed))
    response.headers["allow"] = ", ".join(allowed)
    return response


async def _on_disconnect(_: Request, __: Exception) -> Response:
    return Response(status_code=CALLER_GONE)


async def _on_unhandled_error(_: Request, __: Exception) -> Response:
    return error_response(GlossaError("the model server failed. This is a bug."))
