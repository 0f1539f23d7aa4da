"""The routes of one model, below its path prefix: infer, metadata, ready and statistics.

Each route also answers below `versions/{revision}`, because v2 clients may name a version.
Must not know how calls are answered, nor Ray.
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

from serve.http.responses import body_response, error_response, make_app, read_body
from shared.catalog import Model
from shared.errors import NotFound, Unavailable
from shared.protocol import Body, CallLimits

Endpoint = Callable[[Request], Awaitable[Response]]


class ModelService(Protocol):
    """What the routes need from a replica."""

    model: Model
    limits: CallLimits

    async def infer(self, headers: Mapping[str, str], data: bytes) -> Body:
        """Answer the body of an infer request."""
        ...

    async def check_health(self) -> None:
        """Return when the engine answers. Raises when it does not."""
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


def model_app(service: ModelService) -> ASGIApp:
    """Make the application of one model. When it shuts down, the replica drains."""

    async def infer(request: Request) -> Response:
        data = await read_body(request, service.limits.max_body_bytes)
        return body_response(await service.infer(dict(request.headers), data))

    async def metadata(_: Request) -> Response:
        return JSONResponse(service.metadata())

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
        "/stats": ("GET", statistics),
        "/ready": ("GET", ready),
    }
    routes = [
        Route((base + path).rstrip("/") or "/", _checking_revision(endpoint, service.model), methods=[method])
        for base in ("", "/versions/{revision}")
        for path, (method, endpoint) in endpoints.items()
    ]
    return make_app(routes, lifespan)


def _checking_revision(endpoint: Endpoint, model: Model) -> Endpoint:
    """Return an endpoint that refuses a path with another revision than the model has."""

    async def checked(request: Request) -> Response:
        asked = request.path_params.get("revision", model.revision)
        if asked != model.revision:
            raise NotFound(f"model {model.name} has no version {asked[:64]!r} here; version: {model.revision}")
        return await endpoint(request)

    return checked
