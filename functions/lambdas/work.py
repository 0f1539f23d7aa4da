"""The door that answers shards: settings, catalog and tokenizers are read here, once, at init.

Connections open at first use. Where the runtime takes a snapshot they are dropped before it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from functions.jobs.steps.sqs_handler import time_left
from functions.jobs.steps.work.worker import MAX_ANSWER_BYTES, Worker
from functions.jobs.storage.aws import BatchSettings, Doors, open_aws
from functions.lambdas.work_wiring import Replica, respond_with
from functions.replica.client import ReplicaClient
from shared.catalog import load_catalog
from shared.settings import read_settings

CODE_ROOT = Path(__file__).parents[2]


class WorkSettings(BatchSettings):
    """`replica_url`: base address of the model server; `catalog`, `artifacts`: beside the code unless said."""

    replica_url: Annotated[str, Field(pattern=r"^https?://[^/]+")]
    catalog: Path = CODE_ROOT / "catalog.toml"
    artifacts: Path = CODE_ROOT / "artifacts"


def build(settings: WorkSettings, doors: Doors, replica: Replica) -> Worker:
    """Load what the desks need and make the worker. Raises ValueError, OSError when it cannot be loaded."""
    respond = respond_with(load_catalog(settings.catalog), settings.artifacts, replica)
    return Worker(doors, respond, time.monotonic, blocked_s=replica.blocked_s)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one event of the work queue."""
    return worker.answer(event, time_left(context))


settings = read_settings(WorkSettings)
replica = ReplicaClient(settings.replica_url, max_answer_bytes=MAX_ANSWER_BYTES)
worker = build(settings, open_aws(settings), replica)

try:  # in the Lambda runtime; elsewhere nobody takes snapshots
    from snapshot_restore_py import register_before_snapshot
except ImportError:
    pass
else:
    register_before_snapshot(replica.close)
