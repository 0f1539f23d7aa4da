"""What both applications share in HTTP: errors in the v2 shape, a body of limited size, paths below a prefix.

Sets no `x-request-id`: Ray Serve gives each request one, and puts it on each answer. Built on starlette.
Must not know models, rows or Ray.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.error_text import visible
from shared.errors import BadRequest, GlossaError, MethodNotAllowed, NotFound, TooLarge, TooSlow
from shared.log import log_event
from shared.protocol import Body, encode_error

REQUEST_ID_HEADER = "x-request-id"
MAX_LENGTH_DIGITS = 18
MAX_PATH_CHARS = 200
BODY_TIMEOUT_S = 30.0
OK, NOT_FOUND, METHOD_NOT_ALLOWED, INTERNAL_ERROR = 200, 404, 405, 500
CALLER_GONE = 499  # the caller closed the connection (nginx's number); nobody reads the response

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


def make_app(routes: Sequence[Route], lifespan: Lifespan | None = None) -> ASGIApp:
    """Make an application whose errors are v2 JSON. Its route "/" also answers at the prefix without a slash.

    An unhandled exception is a bug of ours. Its answer is a 500, and the log says where it was raised. The log leaves
    out its message, which may hold data of a caller.
    """
    handlers = {
        GlossaError: _on_glossa_error,
        HTTPException: _on_router_error,
        ClientDisconnect: _on_disconnect,
        Exception: _on_unhandled_error,
    }
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)
    app.router.redirect_slashes = False

    async def rooted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == scope.get("root_path", ""):
            scope = {**scope, "path": scope["path"] + "/"}
        try:
            await app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - _on_unhandled_error has answered it
            place = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{place.filename}:{place.lineno} {place.name}"
            log_event("unhandled-error", level="error", error_type=type(error).__name__, reason=reason)

    return rooted


def body_response(body: Body, status: int = OK) -> Response:
    """Return the response with an encoded body and its headers."""
    return Response(body.data, status, headers=dict(body.headers))


def error_response(error: GlossaError) -> Response:
    """Return the response of an error: v2 JSON, with Retry-After when the error has one."""
    return body_response(encode_error(error), error.status)


async def read_body(request: Request, max_bytes: int, within_s: float = BODY_TIMEOUT_S) -> bytes:
    """Read a body of at most `max_bytes`. One that declares more is refused before any byte is read.

    Raises TooLarge, or TooSlow when the body is not complete after `within_s`. A slow body must not hold one of the
    replica's request slots for longer.
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
    return b"".join(chunks)


async def _on_glossa_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, GlossaError):
        raise TypeError(f"got {type(error).__name__}, expected one of our errors. This is a bug.")
    if error.status == INTERNAL_ERROR:
        request_id = request.headers.get(REQUEST_ID_HEADER)
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
