"""The application at `/v2`: the server's own metadata, whether it lives and is ready, which models there are.

Also answers for every model path that no model's application takes. Must not know Ray: it is
given a function that says how each application is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from serve.http.responses import make_app, reply_error
from shared.errors import NotFound, Unavailable

VERSION = "0.1.0"
EXTENSIONS = ("binary_tensor_data", "statistics", "model_repository")
RUNNING = "RUNNING"
KEEP_S = 1.0
ASK_S = 5.0

States = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model's application: its name there, the model and the revision it serves."""

    application: str
    model: str
    revision: str


class ServerRoutes:
    """Answers for the server as a whole. `states` says the state of each application by name; may block."""

    def __init__(self, entries: tuple[ServedModel, ...], states: Callable[[], States]) -> None:
        self._entries = entries
        self._states = states
        self._known: States = {}
        self._asked_s = float("-inf")
        self._asking: asyncio.Task[States] | None = None

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Return the HTTP side; the hook that `ray.serve.ingress()` looks for."""
        return make_app(
            [
                Route("/", self._server),
                Route("/health/live", self._live),
                Route("/health/ready", self._ready),
                Route("/repository/index", self._index, methods=["GET", "POST"]),
                Route("/models/{model}{rest:path}", self._no_model, methods=["GET", "POST"]),
            ]
        )

    async def _server(self, _: Request) -> Response:
        return JSONResponse({"name": "glossa", "version": VERSION, "extensions": EXTENSIONS})

    async def _live(self, _: Request) -> Response:
        return JSONResponse({"live": True})

    async def _ready(self, _: Request) -> Response:
        states = await self._fresh()
        waiting = {e.application: states.get(e.application, "absent") for e in self._entries}
        waiting = {name: state for name, state in waiting.items() if state != RUNNING}
        if waiting:
            said = ", ".join(f"{name}: {state}" for name, state in sorted(waiting.items()))
            return reply_error(Unavailable(f"not ready: {said}", retry_after_s=1.0))
        return JSONResponse({"ready": True})

    async def _index(self, _: Request) -> Response:
        states = await self._fresh()
        return JSONResponse([_indexed(entry, states.get(entry.application, "absent")) for entry in self._entries])

    async def _no_model(self, request: Request) -> Response:
        model = request.path_params["model"]
        names = sorted({entry.model for entry in self._entries})
        if model not in names:
            raise NotFound(f"no model {model[:64]!r}; models: {names}")
        if request.path_params["rest"].startswith("/versions/"):
            raise NotFound(f"no such version or route of model {model!r}")
        raise Unavailable(f"model {model!r} is not being served now", retry_after_s=1.0)

    async def _fresh(self) -> States:
        """Return the states, at most a second old; none at all when they cannot be had in 5 s.

        However many wait, and however long the last question hangs, at most one is being asked.
        """
        if time.monotonic() - self._asked_s <= KEEP_S:
            return self._known
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(asyncio.to_thread(self._states))
        asking = self._asking
        try:  # shielded: one waiter's end is not the others'
            known = await asyncio.wait_for(asyncio.shield(asking), ASK_S)
        except Exception:  # noqa: BLE001 - a server that cannot say how it is, is not ready
            known = {}
        self._known, self._asked_s = known, time.monotonic()
        return known


def _indexed(entry: ServedModel, state: str) -> dict[str, str]:
    is_ready = state == RUNNING
    return {
        "name": entry.model,
        "version": entry.revision,
        "state": "READY" if is_ready else "UNAVAILABLE",
        "reason": "" if is_ready else state,
    }
