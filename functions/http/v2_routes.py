"""The routes of the Open Inference Protocol v2 for outside clients: each request goes on to the model server as it is.

The caller's tenant is the one that the API verified, and stands in the token of the call. Only headers that the
protocol needs go on, in both directions. Bodies go on unpacked, and an answer is packed for a caller that asks for it.
Must not know what bodies of calls mean, or how the server is reached.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import unquote

from aws_lambda_powertools.event_handler import Response

from functions.http.authentication import EVERY_TASK, Auth, check_task, tenant_of
from functions.http.content_coding import coding_for, packed
from functions.http.request_body import body_bytes, header
from functions.http.resolver import Resolver, deadline, request_id
from shared.catalog import Catalog
from shared.error_text import shown
from shared.errors import BadRequest, Forbidden, NotFound, Unavailable
from shared.messages import tenant_hash
from shared.protocol import TIMEOUT_HEADER
from shared.trace_context import TraceContext

MAX_ANSWER_BYTES = 4_500_000  # in base64 they are 6,000,000, and Lambda passes on no more than 6 MB
SENT_ON = ("content-type", "inference-header-content-length", TIMEOUT_HEADER)
SENT_BACK = ("Content-Type", "Inference-Header-Content-Length")
INFER, STATISTICS = "/infer", "/stats"
MAX_HEADER_CHARS = 256
HEADER_VALUE = re.compile(rf"[ -~]{{1,{MAX_HEADER_CHARS}}}", re.ASCII)
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


class Reply(Protocol):
    """What the model server replied. Header names are in lower case."""

    @property
    def status(self) -> int:
        """HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers."""
        ...

    @property
    def data(self) -> bytes:
        """Body."""
        ...


class Replica(Protocol):
    """The model server as these routes need it: a ReplicaClient, or a FakeReplica."""

    def forward(
        self, method: str, path: str, headers: Mapping[str, str], data: bytes, *, tenant: str, deadline_s: float,
        max_bytes: int, model: str | None = None, request_id: str = "", trace: TraceContext | None = None,
    ) -> Reply:  # fmt: skip
        """Pass one request on, signed for a tenant hash, and return the reply. Raises GlossaError."""
        ...


def add_v2_routes(
    api: Resolver, catalog: Catalog, replica: Replica, auth: Auth, clock: Callable[[], float] = time.monotonic
) -> None:
    """Add the routes to a resolver. `clock` is the clock of deadlines."""

    def forwarded(path: str, data: bytes, headers: Mapping[str, str], model: str | None = None) -> Reply:
        event = api.current_event.raw_event
        tenant = tenant_hash(tenant_of(event, auth))
        api.add_log_fields(tenant_hash=tenant)
        api.query()
        began_s = clock()
        reply = replica.forward(
            api.current_event.http_method.upper(), path, headers, data,
            tenant=tenant, deadline_s=deadline(api.lambda_context, clock), max_bytes=MAX_ANSWER_BYTES,
            model=model, request_id=request_id(event, api.lambda_context), trace=api.trace,
        )  # fmt: skip
        api.add_timings(infer=clock() - began_s)
        return reply

    def passed_on(rest: str, model: str | None = None, version: str | None = None) -> Response[bytes] | Response[str]:
        event = api.current_event.raw_event
        tenant_of(event, auth)  # who is nobody learns of no model
        if rest == INFER:  # the body says which task it is for, so the scope of one task is not enough
            check_task(event, auth, EVERY_TASK)
        if model is not None:
            model = catalog.model(unquote(model)).name  # clients encode what is in a name
            api.add_log_fields(model=model)
        path = f"/v2{'' if model is None else _model_path(model, version)}{rest}"
        data = body_bytes(event) if api.current_event.http_method.upper() == "POST" else b""
        reply = forwarded(path, data, _sent_on(event), model if rest == INFER else None)
        kept = {name: reply.headers[name.lower()] for name in SENT_BACK if name.lower() in reply.headers}
        coding = coding_for(header(event, "accept-encoding")) if rest == INFER else ""
        if not coding:
            return api.bytes_answer(reply.data, kept)
        return api.bytes_answer(packed(reply.data, coding), {**kept, "Content-Encoding": coding})

    def statistics_of_all() -> Response[str]:
        """Answer with the statistics of all models. One that is not served now is left out, as Triton does."""
        found: list[Any] = []
        for model in catalog.models:
            try:
                reply = forwarded(f"/v2{_model_path(model, None)}{STATISTICS}", b"", {})
            except Unavailable:
                continue
            found += json.loads(reply.data)["model_stats"]
        return api.ok({"model_stats": found})

    _add_server(api, passed_on, statistics_of_all)
    _add_models(api, passed_on)
    _add_refusals(api, catalog, auth)


def _add_server(api: Resolver, passed_on: Callable[..., object], statistics_of_all: Callable[[], object]) -> None:
    @api.get("/v2")
    def server() -> object:
        return passed_on("")

    @api.get("/v2/health/live")
    def live() -> object:
        return passed_on("/health/live")

    @api.get("/v2/health/ready")
    def ready() -> object:
        return passed_on("/health/ready")

    @api.post("/v2/repository/index")
    def index() -> object:
        return passed_on("/repository/index")

    @api.get("/v2/models/stats")
    def statistics() -> object:
        return statistics_of_all()


def _add_refusals(api: Resolver, catalog: Catalog, auth: Auth) -> None:
    """Add what the repository extension has and the catalog decides: the routes exist, and say so."""

    def refused(model: str) -> object:
        tenant_of(api.current_event.raw_event, auth)
        name = catalog.model(unquote(model)).name
        found = f"got a call to load or unload model {name}, expected none: the catalog says which models are served"
        raise Forbidden(found, hint="ask whoever operates the service to change catalog.toml")

    @api.post("/v2/repository/models/<model>/load")
    def load(model: str) -> object:
        return refused(model)

    @api.post("/v2/repository/models/<model>/unload")
    def unload(model: str) -> object:
        return refused(model)


def _add_models(api: Resolver, passed_on: Callable[..., object]) -> None:
    """Add the routes of a model, for its only version and for a named one."""

    def answering(rest: str) -> Callable[..., object]:
        def answer(model: str, version: str | None = None) -> object:
            return passed_on(rest, model, version)

        return answer

    for path in ("/v2/models/<model>", "/v2/models/<model>/versions/<version>"):
        for rest in ("", "/ready", "/config", STATISTICS):
            api.get(f"{path}{rest}")(answering(rest))
        api.post(f"{path}{INFER}")(answering(INFER))


def _sent_on(event: Mapping[str, object]) -> dict[str, str]:
    """Return the headers that go on. Raises BadRequest for a value that HTTP cannot carry.

    Sent on, such a value would break the connection, and the circuit breaker would count that against the server.
    """
    headers = {name: value for name in SENT_ON if (value := header(event, name))}
    for name, value in headers.items():
        if not HEADER_VALUE.fullmatch(value):
            wanted = f"at most {MAX_HEADER_CHARS} visible ASCII characters"
            raise BadRequest(f"got {name} {shown(value)}, expected {wanted}")
    return headers


def _model_path(model: str, version: str | None) -> str:
    """Return the path of a model below /v2. The catalog has the model. Raises NotFound for what is no version."""
    if version is None:
        return f"/models/{model}"
    named = unquote(version)
    if not VERSION.fullmatch(named):
        raise NotFound(f"no version {shown(named)} of model {shown(model)}")
    return f"/models/{model}/versions/{named}"
