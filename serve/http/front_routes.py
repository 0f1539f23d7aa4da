"""The application at `/v2`: metadata of the server, whether it is live and ready, and the index of its models.

It also answers for each model that has no replica, and each model path that no model's application takes. It refuses
such calls at once, and says when a replica is likely to answer again. Only health needs no token. Must not import Ray:
it gets a function that returns the state of each application, in Ray's words.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from serve.http.callers import Verify, nobody
from serve.http.outages import Outages
from serve.http.routes import READY, error_response, make_app, read_body
from shared.errors import NotFound, Unavailable
from shared.log import log_event
from shared.protocol.frame import JsonBounds, read_json

VERSION = "0.1.0"
# What clients may rely on, by Triton's names. The API has the routes of the whole server that are not here.
EXTENSIONS = (
    "binary_tensor_data", "classification", "model_configuration", "model_repository", "parameters", "schedule_policy",
    "statistics",
)  # fmt: skip
MAX_INDEX_BYTES = 4096  # of a body that asks for the index
RUNNING = "RUNNING"  # as ray.serve.schema.ApplicationStatus spells it
IDLE = "IDLE"  # our word for one that runs and has scaled to no replica
OPEN = re.compile(rf"/health/(?:live|ready)|/models/[^/]+{READY.pattern}")  # need no token
STATES_MAX_AGE_S = 1.0
STATES_TIMEOUT_S = 5.0
WATCH_S, PAUSE_FACTOR, MAX_PAUSE_S = 0.5, 1.05, 5.0  # between two looks at the states while a model is away
INDEX_BOUNDS = JsonBounds(max_values=64, max_nests=64)

States = Mapping[str, str]
Wake = Callable[[str], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model of the catalog, and the revision that is served. Its application has the name of the model."""

    model: str
    revision: str


class FrontRoutes:
    """Answers for the server as a whole. `states` returns the state of each application by name, and may block.

    `wake` starts a replica of a model that has scaled to none, and returns when one runs. `verifier` makes what checks
    tokens, in the process that answers. By default every call but health is refused.
    """

    def __init__(
        self,
        models: tuple[ServedModel, ...],
        states: Callable[[], States],
        *,
        wake: Wake | None = None,
        verifier: Callable[[], Verify] = lambda: nobody,
    ) -> None:
        self._verify = verifier()
        self._wake = wake
        self._waking: dict[str, asyncio.Task[None]] = {}
        self._outages = Outages()
        self._watch: asyncio.Task[None] | None = None
        self._models = models
        self._states = states
        self._known_states: States = {}
        self._known_at_s = float("-inf")
        self._query: asyncio.Task[States] | None = None

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Return the HTTP side; the hook that `ray.serve.ingress()` looks for."""
        return make_app(
            [
                Route("/", self._server),
                Route("/health/live", self._live),
                Route("/health/ready", self._ready),
                Route("/repository/index", self._index, methods=["GET", "POST"]),
                Route("/models/{model}{rest:path}", self._no_model, methods=["GET", "POST"]),
            ],
            self._verify,
            OPEN,
        )

    async def _server(self, _: Request) -> Response:
        return JSONResponse({"name": "glossa", "version": VERSION, "extensions": EXTENSIONS})

    async def _live(self, _: Request) -> Response:
        return JSONResponse({"live": True})

    async def _ready(self, _: Request) -> Response:
        states = await self._fresh_states()
        not_running = {model.model: states.get(model.model, "absent") for model in self._models}
        not_running = {name: state for name, state in not_running.items() if state not in {RUNNING, IDLE}}
        if not_running:
            reasons = ", ".join(f"{name}: {state}" for name, state in sorted(not_running.items()))
            return error_response(Unavailable(f"not ready: {reasons}", retry_after_s=1.0))
        return JSONResponse({"ready": True})

    async def _index(self, request: Request) -> Response:
        data = await read_body(request, MAX_INDEX_BYTES)
        only_ready = data and read_json(memoryview(data), INDEX_BOUNDS).get("ready") is True
        states = await self._fresh_states()
        entries = [_index_entry(model, states.get(model.model, "absent")) for model in self._models]
        return JSONResponse([entry for entry in entries if entry["state"] == "READY" or not only_ready])

    async def _no_model(self, request: Request) -> Response:
        name = request.path_params["model"]
        names = sorted({model.model for model in self._models})
        if name not in names:
            raise NotFound(f"no model {name[:64]!r}; models: {names}")
        (revision,) = (each.revision for each in self._models if each.model == name)
        rest = request.path_params["rest"] + "/"
        if rest.startswith("/versions/") and not rest.startswith(f"/versions/{revision}/"):
            raise NotFound(f"no such version or route of model {name!r}")
        raise self._away(name)

    def _away(self, model: str) -> Unavailable:
        """Return the refusal of a call to a model without a replica. See to it that the model comes back."""
        retry_after_s = self._outages.refuse(model)
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._watch_states())
        if self._known_states.get(model) == IDLE:
            self._start_waking(model)
        return Unavailable(
            f"model {model!r} has 0 replicas now, expected 1 or more",
            hint="send it again after the time in Retry-After",
            retry_after_s=retry_after_s,
        )

    async def _watch_states(self) -> None:
        """Look at the states until no model is away, so that the time that each takes is known."""
        pause_s = WATCH_S
        while self._outages:
            states = await self._fresh_states()
            for model in self._outages.refused:
                if states.get(model) == IDLE:
                    self._start_waking(model)
            await asyncio.sleep(pause_s)
            pause_s = min(PAUSE_FACTOR * pause_s, MAX_PAUSE_S)

    def _start_waking(self, model: str) -> None:
        """Ask once for a replica of an idle model, however many calls came."""
        if self._wake is not None and model not in self._waking:
            self._waking[model] = asyncio.create_task(self._woken(model, self._wake))

    async def _woken(self, model: str, wake: Wake) -> None:
        try:
            await wake(model)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next call asks again
            log_event("not-woken", level="error", model=model, error_type=type(error).__name__)
        finally:
            del self._waking[model]

    async def _fresh_states(self) -> States:
        """Return the states, at most a second old, or no states when there is no answer in 5 s.

        At most one query runs at a time, however many requests wait and however long the query hangs.
        """
        if time.monotonic() - self._known_at_s <= STATES_MAX_AGE_S:
            return self._known_states
        if self._query is None or self._query.done():
            self._query = asyncio.create_task(asyncio.to_thread(self._states))
        query = self._query
        try:  # shielded: when one request stops waiting, the query goes on for the others
            known = await asyncio.wait_for(asyncio.shield(query), STATES_TIMEOUT_S)
        except Exception:  # noqa: BLE001 - without an answer the server is not ready, whatever the reason
            known = {}
        self._known_states, self._known_at_s = known, time.monotonic()
        self._note(known)
        return known

    def _note(self, states: States) -> None:
        """Note which models run. Without an answer, or for a model that Serve does not know yet, nothing is known."""
        notes = {RUNNING: self._outages.runs, IDLE: self._outages.rests}
        for model in self._models:
            if model.model in states:
                notes.get(states[model.model], self._outages.starts)(model.model)


def _index_entry(model: ServedModel, state: str) -> dict[str, str]:
    is_ready = state == RUNNING
    return {
        "name": model.model,
        "version": model.revision,
        "state": "READY" if is_ready else "UNAVAILABLE",
        "reason": "" if is_ready else state,
    }
