"""The settings of all Lambda functions. Each function reads its own from the environment once, when it is imported.

Must not know what is done with them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from functions.http.authentication import Auth
from functions.jobs.state.webhooks import Reach
from shared.settings import Settings

CODE_ROOT = Path(__file__).parents[2]  # the folder that holds the packaged code, the catalog and the artifacts
ReplicaUrl = Annotated[str, Field(pattern=r"^https?://[^/]+")]


class InferSettings(Settings):
    """`replica_url`: base address of the model server. `catalog` and `artifacts`: beside the code, unless set."""

    replica_url: ReplicaUrl
    auth: Auth = "iam"
    catalog: Path = CODE_ROOT / "catalog.toml"
    artifacts: Path = CODE_ROOT / "artifacts"


class BatchSettings(Settings):
    """The table, the buckets and the queue of each step, which the functions of batch jobs share."""

    input_bucket: str
    output_bucket: str
    jobs_table: str
    plan_queue_url: str
    work_queue_url: str
    finalize_queue_url: str


class JobsSettings(BatchSettings):
    """`webhook_reach`: which addresses a webhook may have. `catalog`: beside the code, unless set."""

    auth: Auth = "iam"
    webhook_reach: Reach = "public"
    catalog: Path = CODE_ROOT / "catalog.toml"


class PlanSettings(BatchSettings):
    """`catalog`: beside the code, unless set."""

    catalog: Path = CODE_ROOT / "catalog.toml"


class WorkSettings(BatchSettings):
    """`replica_url`: base address of the model server. `catalog` and `artifacts`: beside the code, unless set."""

    replica_url: ReplicaUrl
    catalog: Path = CODE_ROOT / "catalog.toml"
    artifacts: Path = CODE_ROOT / "artifacts"


class NotifySettings(Settings):
    """The table that holds webhooks, the queue of events, and which addresses a webhook may have."""

    jobs_table: str
    notify_queue_url: str
    webhook_reach: Reach = "public"
