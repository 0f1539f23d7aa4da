"""The Lambda function that answers shards: wires the pipeline, the replica client and the worker.

Connections open at the first call.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from functions.jobs.steps.commit import ShardCommit
from functions.jobs.steps.sqs_handler import time_left
from functions.jobs.steps.work.read_records import RecordReader
from functions.jobs.steps.work.worker import MAX_SHARD_ANSWER_BYTES, Worker
from functions.jobs.storage.aws import open_objects, open_queue, open_table, wall_clock_ms
from functions.lambdas.model_server import open_call_keys, open_client
from functions.lambdas.settings import WorkSettings, read_function_settings
from functions.messages import Result
from functions.pipeline.pipeline import Pipeline
from functions.replica.client import ReplicaClient
from functions.tasks.task import TextRequest
from functions.tokenizers.load import load_tokenizers
from shared.catalog import load_catalog
from shared.errors import GlossaError
from shared.settings import xray_of_invocation
from shared.trace_context import TraceContext, continue_trace

MAX_WAIT_S = 60.0  # a shard waits for a full server, because nobody waits for the shard


def build(settings: WorkSettings, replica: ReplicaClient) -> Worker:
    """Load the tokenizers and make the worker. Raises ValueError or OSError when something cannot be loaded."""
    catalog = load_catalog(settings.catalog)
    pipeline = Pipeline(catalog, load_tokenizers(catalog, settings.artifacts))
    table, objects = open_table(settings.jobs_table), open_objects(settings.account_id)
    queue = open_queue({"work": settings.work_queue_url, "finalize": settings.finalize_queue_url})
    input_bucket, output_bucket = settings.input_bucket, settings.output_bucket

    def respond(request: TextRequest, trace: TraceContext) -> tuple[Result, Mapping[int, GlossaError]]:
        return pipeline.run_valid_inputs(request, lambda calls: replica.infer(calls, request.deadline_s, trace=trace))

    return Worker(
        table=table,
        queue=queue,
        reader=RecordReader(objects=objects, input_bucket=input_bucket, output_bucket=output_bucket),
        shard_commit=ShardCommit(
            table=table, objects=objects, queue=queue, output_bucket=output_bucket, now_ms=wall_clock_ms
        ),
        now_ms=wall_clock_ms,
        respond=respond,
        clock_s=time.monotonic,
        blocked_s=replica.blocked_s,
        begin_trace=lambda: continue_trace("", xray=xray_of_invocation()),
    )


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one event of the work queue."""
    return worker.handle_event(event, time_left(context))


settings = read_function_settings(WorkSettings)
replica = open_client(
    settings,
    open_call_keys(settings),
    max_answer_bytes=MAX_SHARD_ANSWER_BYTES,
    max_wait_s=MAX_WAIT_S,
    waits_for_server=True,
)
worker = build(settings, replica)
