"""The routes of the jobs API. Each reads its request, calls one method of `jobs/api`, and answers with JSON.

Must not know the environment, or how jobs are stored.
"""

from __future__ import annotations

from functions.http.authentication import Auth, check_task, tenant_of
from functions.http.cors import NO_CORS, Cors
from functions.http.resolver import Resolver
from functions.jobs.api.error_rows import ErrorRows
from functions.jobs.api.jobs import Jobs
from functions.jobs.api.pages import PAGED, page_size
from functions.jobs.api.recipes import Recipes
from functions.jobs.api.request_bodies import EXPECTED, JobBody, RecipeBody, RedriveBody, idempotency_token
from functions.jobs.api.results import Results
from functions.jobs.state.webhooks import Reach
from shared.catalog import Catalog
from shared.messages import tenant_hash


def make_api(
    jobs: Jobs,
    recipes: Recipes,
    results: Results,
    error_rows: ErrorRows,
    *,
    catalog: Catalog,
    auth: Auth,
    reach: Reach = "public",
    origins: Cors = NO_CORS,
) -> Resolver:
    """Put the routes on a resolver. `reach` says which addresses a webhook may have."""
    api = Resolver("jobs", fields=EXPECTED, origins=origins)
    _add_jobs(api, jobs, catalog, auth, reach)
    _add_job(api, jobs, auth)
    _add_results(api, jobs, results, error_rows, auth)
    _add_recipes(api, recipes, catalog, auth)
    return api


def _add_jobs(api: Resolver, jobs: Jobs, catalog: Catalog, auth: Auth, reach: Reach) -> None:
    @api.post("/v1/jobs")
    def create() -> object:
        tenant = _tenant(api, auth)
        body = JobBody.model_validate(api.json())
        check_task(api.current_event.raw_event, auth, body.task)
        token = idempotency_token(api.current_event.headers)
        spec, names = body.spec(catalog), body.names()
        job, is_new = jobs.create(tenant, spec, names, token, source=body.source, webhook=body.hook(reach))
        api.add_log_fields(job_id=job.job, task=body.task)
        answer = {**jobs.status(tenant, job.job), "uploads": jobs.uploads(job), "start": f"/v1/jobs/{job.job}/start"}
        return api.ok(answer, status=201 if is_new else 200)

    @api.get("/v1/jobs")
    def page() -> object:
        tenant, query = _paged(api, auth)
        return api.ok(jobs.page(tenant, query, page_size(query)))


def _add_job(api: Resolver, jobs: Jobs, auth: Auth) -> None:
    @api.get("/v1/jobs/<job>")
    def status(job: str) -> object:
        return api.ok(jobs.status(_tenant(api, auth), job))

    @api.post("/v1/jobs/<job>/start")
    def start(job: str) -> object:
        started = jobs.start(_tenant(api, auth), job)
        api.add_log_fields(job_id=started.job, state=started.state)
        return api.ok({"job": started.job, "state": started.state, "status": f"/v1/jobs/{started.job}"}, status=202)

    @api.post("/v1/jobs/<job>/cancel")
    def cancel(job: str) -> object:
        stopped = jobs.cancel(_tenant(api, auth), job)
        api.add_log_fields(job_id=stopped.job, state=stopped.state)
        return api.ok({"job": stopped.job, "state": stopped.state, "status": f"/v1/jobs/{stopped.job}"}, status=202)

    @api.post("/v1/jobs/<job>/redrive")
    def redrive(job: str) -> object:
        body = RedriveBody.model_validate(api.json() if api.text() else {})
        redriven, begun = jobs.redrive(_tenant(api, auth), job, generation=body.generation)
        api.add_log_fields(job_id=redriven.job, state=redriven.state)
        answer = {"job": redriven.job, "state": redriven.state, "generation": redriven.generation, "begun": begun}
        return api.ok({**answer, "status": f"/v1/jobs/{redriven.job}"}, status=202)

    @api.delete("/v1/jobs/<job>")
    def delete(job: str) -> object:
        deleted = jobs.delete(_tenant(api, auth), job)
        api.add_log_fields(job_id=deleted.job, state=deleted.state)
        return api.ok({"job": deleted.job, "deleted": True})


def _add_results(api: Resolver, jobs: Jobs, results: Results, error_rows: ErrorRows, auth: Auth) -> None:
    @api.get("/v1/jobs/<job>/errors")
    def errors(job: str) -> object:
        tenant, query = _paged(api, auth)
        return api.ok(error_rows.page(jobs.get(tenant, job), query, page_size(query)))

    @api.get("/v1/jobs/<job>/results")
    def parts(job: str) -> object:
        tenant, query = _paged(api, auth)
        return api.ok(results.page(jobs.get(tenant, job), query, page_size(query)))


def _add_recipes(api: Resolver, recipes: Recipes, catalog: Catalog, auth: Auth) -> None:
    @api.post("/v1/recipes")
    def create() -> object:
        tenant = _tenant(api, auth)
        body = RecipeBody.model_validate(api.json())
        check_task(api.current_event.raw_event, auth, body.task)
        recipe, is_new = recipes.create(tenant, body.checked_name(), body.spec(catalog))
        return api.ok(recipe, status=201 if is_new else 200)

    @api.get("/v1/recipes")
    def page() -> object:
        tenant, query = _paged(api, auth)
        return api.ok(recipes.page(tenant, query, page_size(query)))

    @api.delete("/v1/recipes/<name>")
    def delete(name: str) -> object:
        recipes.delete(_tenant(api, auth), name)
        return api.ok({"name": name, "deleted": True})


def _tenant(api: Resolver, auth: Auth) -> str:
    """Return the caller's tenant, on a route that takes no query parameters."""
    tenant = _principal(api, auth)
    api.query()
    return tenant


def _paged(api: Resolver, auth: Auth) -> tuple[str, dict[str, str]]:
    """Return the caller's tenant, and the query parameters of a page."""
    return _principal(api, auth), api.query(*PAGED)


def _principal(api: Resolver, auth: Auth) -> str:
    tenant = tenant_of(api.current_event.raw_event, auth)
    api.add_log_fields(tenant_hash=tenant_hash(tenant))
    return tenant
