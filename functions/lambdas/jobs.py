"""The Lambda function of the jobs API: wires the routes to the table, the buckets and the queues."""

from __future__ import annotations

from functions.http.jobs_routes import make_api
from functions.http.resolver import Resolver
from functions.jobs.api.error_rows import ErrorRows
from functions.jobs.api.jobs import Jobs
from functions.jobs.api.recipes import Recipes
from functions.jobs.api.results import Results
from functions.jobs.storage.aws import open_objects, open_queue, open_table, open_webhooks, wall_clock_ms
from functions.lambdas.settings import JobsSettings, read_function_settings
from shared.catalog import load_catalog


def build(settings: JobsSettings) -> Resolver:
    """Read the catalog and make the routes. Raises ValueError or OSError when the catalog cannot be read."""
    table, objects = open_table(settings.jobs_table), open_objects(settings.account_id)
    queue = open_queue({"plan": settings.plan_queue_url, "finalize": settings.finalize_queue_url})
    input_bucket, output_bucket = settings.input_bucket, settings.output_bucket
    return make_api(
        Jobs(
            table=table,
            objects=objects,
            queue=queue,
            webhooks=open_webhooks(settings.webhooks_table, settings.webhooks_key),
            input_bucket=input_bucket,
            now_ms=wall_clock_ms,
        ),
        Recipes(table=table, input_bucket=input_bucket, now_ms=wall_clock_ms),
        Results(table=table, objects=objects, output_bucket=output_bucket),
        ErrorRows(table=table, objects=objects, output_bucket=output_bucket),
        catalog=load_catalog(settings.catalog),
        auth=settings.callers,
        reach=settings.webhook_reach,
        origins=settings.origins,
    )


handler = build(read_function_settings(JobsSettings)).resolve
