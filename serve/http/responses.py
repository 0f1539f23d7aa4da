"""HTTP as both applications speak it: v2 errors in JSON, a capped body, paths below a prefix.

Sets no `x-request-id`: Ray Serve gives every request one and puts it on every answer. Knows
starlette. Must not know models, rows or Ray.
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

REQUEST_ID = "x-request-id"
MAX_DIGITS = 18
MAX_PATH_CHARS = 200
BODY_S = 30.0
OK, UNKNOWN, NO_METHOD, BUG = 200, 404, 405, 500
GONE = 499  # the caller went away (nginx's number), nobody reads it

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


def make_app(routes: Sequence[Route], lifespan: Lifespan | None = None) -> ASGIApp:
    """Make an application whose errors are v2 JSON; a route "/" answers at the bare prefix too.

    A fault of our own is answered with 500 and logged as the place it was raised at, without its message.
    """
    handlers = {GlossaError: _on_error, HTTPException: _on_http, ClientDisconnect: _on_gone, Exception: _on_fault}
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)
    app.router.redirect_slashes = False

    async def door(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == scope.get("root_path", ""):
            scope = {**scope, "path": scope["path"] + "/"}
        try:
            await app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - answered by _on_fault already; its message may hold a caller's data
            place = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{place.filename}:{place.lineno} {place.name}"
            log_event("fault", level="error", error_type=type(error).__name__, reason=reason)

    return door


def reply(body: Body, status: int = OK) -> Response:
    """Make a response of a wire body."""
    return Response(body.data, status, headers=dict(body.headers))


def reply_error(error: GlossaError) -> Response:
    """Make the response of an error: v2 JSON, Retry-After where known."""
    return reply(encode_error(error), error.status)


async def read_body(request: Request, max_bytes: int, within_s: float = BODY_S) -> bytes:
    """Read at most `max_bytes`; a declared larger size is refused before any byte is read.

    Raises TooLarge, or TooSlow for a body that is not whole after `within_s`: it holds one of the replica's places.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and (len(declared) > MAX_DIGITS or int(declared) > max_bytes):
        raise TooLarge(f"got a body of {declared[:MAX_DIGITS]} bytes, at most {max_bytes}")
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


async def _on_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, GlossaError):
        raise TypeError(f"got {type(error).__name__}, expected one of our errors. This is a bug.")
    if error.status == BUG:
        log_event(
            "internal", level="error", code=error.code, reason=error.message, request_id=request.headers.get(REQUEST_ID)
        )
    return reply_error(error)


async def _on_http(request: Request, error: Exception) -> Response:
    """Answer what the router refused: an unknown path, or a method that a path does not take."""
    if not isinstance(error, HTTPException):
        raise TypeError(f"got {type(error).__name__}, expected a refusal of the router. This is a bug.")
    path = visible(request.url.path, MAX_PATH_CHARS)
    if error.status_code == UNKNOWN:
        return reply_error(NotFound(f"no route {request.method} {path}"))
    allowed = sorted(filter(None, (error.headers or {}).get("Allow", "").split(", ")))
    if error.status_code != NO_METHOD or not allowed:
        return reply_error(BadRequest(f"{request.method} {path} is not possible"))
    message = f"got {request.method} on {path}, expected {' or '.join(allowed)}"
    response = reply_error(MethodNotAllowed(message, allowed))
    response.headers["allow"] = ", ".join(allowed)
    return response


async def _on_gone(_: Request, __: Exception) -> Response:
    return Response(status_code=GONE)


async def _on_fault(_: Request, __: Exception) -> Response:
    return reply_error(GlossaError("the model server failed. This is a bug."))
