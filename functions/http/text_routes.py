"""The synchronous routes: tasks, tokens, models, health, the OpenAPI page.

The pipeline and the model server are handed in. Must not know the environment, files or how the server is reached.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol
from urllib.parse import unquote

from functions.http import v2_routes
from functions.http.authentication import Auth, check_task, tenant_of
from functions.http.compatible.routes import add_compatible_routes
from functions.http.compatible.service import Run, Service
from functions.http.cors import NO_CORS, Cors
from functions.http.page.routes import PAGES, add_page_routes
from functions.http.request_body import takes_bytes
from functions.http.resolver import Resolver, deadline, request_id
from functions.http.text_json import model_json, models_json, parse_request, result_json, timings_ms
from functions.http.token_requests import detokenize_json, tokenize_json, without_batch_jobs
from functions.messages import Result
from functions.pipeline.pipeline import Pipeline
from functions.pipeline.request_limits import REQUEST_LIMITS, RequestLimits
from functions.pipeline.route import stand_in_for
from functions.tasks.parse import task_named
from functions.tasks.registry import TASKS
from shared.catalog import Model, split_reference
from shared.error_text import shown
from shared.errors import GlossaError, NotFound, Overloaded, Unavailable
from shared.messages import InferCall, ModelOutput, tenant_hash
from shared.trace_context import TraceContext

READY_RETRY_AFTER_S = 5.0


class Replica(v2_routes.Replica, Protocol):
    """The model server as these routes need it: a ReplicaClient, or a FakeReplica."""

    def infer(
        self, calls: Sequence[InferCall], deadline_s: float, *, request_id: str = "", trace: TraceContext | None = None,
        waits: bool = True,
    ) -> list[ModelOutput]:  # fmt: skip
        """Answer the calls in order. Unless it `waits`, a server that asks to come later is not asked again."""
        ...

    def ready(self) -> bool:
        """Whether the model server takes calls."""
        ...

    def tokens_per_s(self, model: str) -> float | None:
        """Return how many tokens per second it measures for a model, or None when it does not say."""
        ...


def make_api(
    pipeline: Pipeline,
    replica: Replica,
    auth: Auth,
    *,
    origins: Cors = NO_CORS,
    clock: Callable[[], float] = time.monotonic,
    page_stores: Sequence[str] | None = None,
) -> Resolver:
    """Make a resolver with these routes. `clock` is the clock of the pipeline's deadlines.

    `page_stores` are the origins to which the playground uploads documents. None: there is no playground.
    """
    api = Resolver("infer", _whole_api if page_stores is None else _with_pages, origins=origins)
    pipeline = replace(pipeline, speed=replica.tokens_per_s)
    run = _runner(api, pipeline, replica, auth, clock)
    service = Service(api, pipeline, auth, run, replica.ready)
    _add_tasks(service)
    _add_models(api, pipeline, auth)
    _add_tokens(api, pipeline, auth)
    _add_service(api, replica, auth, is_public=page_stores is not None)
    add_compatible_routes(service)
    v2_routes.add_v2_routes(api, pipeline.catalog, replica, auth, clock)
    if page_stores is not None:
        add_page_routes(api, page_stores)
    return api


def _runner(api: Resolver, pipeline: Pipeline, replica: Replica, auth: Auth, clock: Callable[[], float]) -> Run:
    """Return what answers a task for a body of our own form, and notes what it did."""

    def infer(calls: Sequence[InferCall], deadline_s: float, *, waits: bool = True) -> list[ModelOutput]:
        began_s = clock()
        try:
            return replica.infer(calls, deadline_s, request_id=_request_id(api), trace=api.trace, waits=waits)
        except GlossaError:
            api.add_timings(infer=clock() - began_s)
            raise

    def run(task: str, body: object, limits: RequestLimits = REQUEST_LIMITS) -> Result:
        tenant = tenant_of(api.current_event.raw_event, auth)
        deadline_s = deadline(api.lambda_context, clock)
        request = parse_request(task, body, tenant=tenant, deadline_s=deadline_s, limits=limits)
        api.add_log_fields(task=task, n_rows=len(request.inputs))
        other = stand_in_for(request, pipeline.catalog)
        try:
            result = pipeline.run(request, lambda calls: infer(calls, deadline_s, waits=other is None))
        except (Unavailable, Overloaded):
            if other is None:
                raise
            result = pipeline.run(other, lambda calls: infer(calls, deadline_s))
        api.add_timings(**result.timings_s)
        _note_result(api, result)
        return result

    return run


def _add_tasks(service: Service) -> None:
    api = service.api

    @api.post("/v1/<task>")
    def answer(task: str) -> object:
        _tenant(api, service.auth)
        if task not in TASKS:  # a path of another route or function, or of none
            api.refuse_other_methods()
            task_named(task)  # raises before the body is read
        check_task(api.current_event.raw_event, service.auth, task)
        body = api.json()
        if task == "rerank" and "query" in body and "inputs" not in body:  # Cohere and Jina share this path
            from functions.http.compatible.answers_cohere import rank_for_cohere  # noqa: PLC0415 - start-up time costs money

            return rank_for_cohere(service, body, 1)
        return api.ok(result_json(task, service.run(task, body)))


def _add_models(api: Resolver, pipeline: Pipeline, auth: Auth) -> None:
    @api.get("/v1/models")
    def models() -> object:
        _tenant(api, auth)
        return api.ok(models_json(pipeline.catalog))

    @api.get("/v1/models/<name>")
    def model(name: str) -> object:
        _tenant(api, auth)
        model_name, head = split_reference(unquote(name))  # clients encode the colon of model:head, and other scripts
        found = pipeline.catalog.model(model_name)
        if head is not None and head not in found.heads:
            raise NotFound(f"model {found.name} has no head {shown(head)}; heads: {sorted(found.heads)}")
        return api.ok(model_json(found))


def _add_tokens(api: Resolver, pipeline: Pipeline, auth: Auth) -> None:
    def answered(make: Callable[..., tuple[dict[str, Any], Model]]) -> object:
        _tenant(api, auth)
        began_s = time.perf_counter()
        with without_batch_jobs():
            answer, model = make(api.json(), pipeline.catalog, pipeline.tokenizers)
            api.add_timings(tokenize=time.perf_counter() - began_s)
            api.add_log_fields(model=model.name, n_rows=len(answer["results"]))
            return api.ok(answer)

    @api.post("/v1/tokenize")
    def tokenize() -> object:
        return answered(tokenize_json)

    @api.post("/v1/detokenize")
    def detokenize() -> object:
        return answered(detokenize_json)


def _add_service(api: Resolver, replica: Replica, auth: Auth, *, is_public: bool) -> None:
    """Add what tells of the service. `is_public`: everybody may read its description, which the page at /docs shows."""

    @api.get("/v1/health")
    def health() -> object:
        _principal(api, auth)
        if not replica.ready():
            raise Unavailable("the model server is not ready", retry_after_s=READY_RETRY_AFTER_S)
        return api.ok({"status": "ready"})

    @api.get("/openapi.json", compress=True)
    @api.get("/v1/openapi.json", compress=True)
    def openapi() -> object:
        from functions.http.openapi_document import served  # noqa: PLC0415 - this route alone needs it, and start-up time costs money

        if not is_public:
            _principal(api, auth)
        answer = api.ok(served(_prefix(api)))
        answer.compress = takes_bytes(api.current_event.raw_event)
        return answer


def _whole_api() -> Iterable[tuple[str, str]]:
    """Return the routes of the whole API. The gateway sends every request here that no other function takes."""
    from functions.http.openapi_document import routes  # noqa: PLC0415 - only a refusal needs it, and start-up time costs money

    return routes()


def _with_pages() -> Iterable[tuple[str, str]]:
    return (*_whole_api(), *(("GET", path) for path in PAGES))


def _tenant(api: Resolver, auth: Auth) -> str:
    """Return the tenant. Raises Unprocessable for a query: no route here reads one."""
    tenant = _principal(api, auth)
    api.query()
    return tenant


def _principal(api: Resolver, auth: Auth) -> str:
    """Return the tenant, whatever the query holds: monitors and browsers use it to get around caches."""
    tenant = tenant_of(api.current_event.raw_event, auth)
    api.add_log_fields(tenant_hash=tenant_hash(tenant))
    return tenant


def _prefix(api: Resolver) -> str:
    """Return what stands before the path of the request in its address: the stage, "" by a name of one's own."""
    event, path = api.current_event.raw_event, api.current_event.path
    whole = str((event.get("requestContext") or {}).get("path") or path)
    return whole.removesuffix(path) if whole.endswith(path) else ""


def _request_id(api: Resolver) -> str:
    return request_id(api.current_event.raw_event, api.lambda_context)


def _note_result(api: Resolver, result: Result) -> None:
    facts: dict[str, Any] = {"model": result.model, "head": result.head, "timings_ms": timings_ms(result.timings_s)}
    api.add_log_fields(**facts, n_tokens=sum(result.n_tokens), n_windows=sum(result.n_windows))
