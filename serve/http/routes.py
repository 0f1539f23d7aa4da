"""The routes of one model, below its prefix: infer, metadata, ready, statistics.

Each stands also below `versions/{revision}`, as v2 clients ask for a version. Must not know
how calls are answered, nor Ray.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from serve.http.responses import make_app, read_body, reply, reply_error
from shared.catalog import Model
from shared.errors import NotFound, Unavailable
from shared.protocol import Body, CallLimits

Endpoint = Callable[[Request], Awaitable[Response]]


class ModelService(Protocol):
    """What the routes need of a replica."""

    model: Model
    limits: CallLimits

    async def infer(self, headers: Mapping[str, str], data: bytes) -> Body:
        """Answer the body of an infer request."""
        ...

    async def check_health(self) -> None:
        """Return when the engine answers, raise when it does not."""
        ...

    async def drain(self) -> None:
        """Refuse new calls and finish the admitted ones."""
        ...

    def metadata(self) -> dict[str, object]:
        """Return v2 metadata."""
        ...

    def statistics(self) -> dict[str, object]:
        """Return v2 statistics."""
        ...


def model_app(served: ModelService) -> ASGIApp:
    """Make the application of one model; when it shuts down, the replica drains."""

    async def infer(request: Request) -> Response:
        data = await read_body(request, served.limits.max_body_bytes)
        return reply(await served.infer(dict(request.headers), data))

    async def metadata(_: Request) -> Response:
        return JSONResponse(served.metadata())

    async def statistics(_: Request) -> Response:
        return JSONResponse(served.statistics())

    async def ready(_: Request) -> Response:
        try:
            await served.check_health()
        except Exception:  # noqa: BLE001 - not ready, whatever the reason; Ray's own check says more
            return reply_error(Unavailable(f"model {served.model.name} is not ready", retry_after_s=1.0))
        return JSONResponse({"name": served.model.name, "version": served.model.revision, "ready": True})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await served.drain()

    endpoints = {
        "/infer": ("POST", infer),
        "/": ("GET", metadata),
        "/stats": ("GET", statistics),
        "/ready": ("GET", ready),
    }
    routes = [
        Route((base + path).rstrip("/") or "/", _of_revision(endpoint, served.model), methods=[method])
        for base in ("", "/versions/{revision}")
        for path, (method, endpoint) in endpoints.items()
    ]
    return make_app(routes, lifespan)


def _of_revision(endpoint: Endpoint, model: Model) -> Endpoint:
    """Refuse a revision in the path that is not the one served here."""

    async def checked(request: Request) -> Response:
        asked = request.path_params.get("revision", model.revision)
        if asked != model.revision:
            raise NotFound(f"model {model.name} has no version {asked[:64]!r} here; version: {model.revision}")
        return await endpoint(request)

    return checked
