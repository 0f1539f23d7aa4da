"""The door that answers shards: settings, catalog and tokenizers are read here, once, at init.

Connections open at first use. Where the runtime takes a snapshot they are dropped before it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import Field

from functions.batch.deliveries import time_left
from functions.batch.doors import BatchSettings, Doors, open_aws
from functions.pipeline.journey import Journey
from functions.pipeline.tokenize import load_tokenizers
from functions.replica_client import ReplicaClient
from functions.work.worker import MAX_ANSWER_BYTES, Worker
from shared.catalog import load_catalog
from shared.errors import GlossaError
from shared.messages import InferCall, Inferred, Result, TextRequest
from shared.settings import read_settings

CODE_ROOT = Path(__file__).parents[2]


class WorkSettings(BatchSettings):
    """`replica_url`: base address of the model server; `catalog`, `artifacts`: beside the code unless said."""

    replica_url: Annotated[str, Field(pattern=r"^https?://[^/]+")]
    catalog: Path = CODE_ROOT / "catalog.toml"
    artifacts: Path = CODE_ROOT / "artifacts"


class Replica(Protocol):
    """The model server as this function needs it: a ReplicaClient, or a FakeReplica."""

    def infer(self, calls: Sequence[InferCall], deadline_s: float, *, request_id: str = "") -> list[Inferred]:
        """Answer the calls in order."""
        ...

    def blocked_s(self, model: str) -> float:
        """Return the seconds until a call for this model may pass."""
        ...


def build(settings: WorkSettings, doors: Doors, replica: Replica) -> Worker:
    """Load what the desks need and make the worker. Raises ValueError, OSError when it cannot be loaded."""
    catalog = load_catalog(settings.catalog)
    journey = Journey(catalog, load_tokenizers(catalog, settings.artifacts))

    def respond(request: TextRequest) -> tuple[Result, Mapping[int, GlossaError]]:
        return journey.run_each(request, lambda calls: replica.infer(calls, request.deadline_s))

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
