"""The settings of all Lambda functions. Each function reads its own from the environment once, when it is imported.

Must not know what is done with them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field

from functions.http.authentication import Auth
from functions.jobs.state.webhooks import Reach
from shared.metrics import set_stack
from shared.settings import Settings, read_settings

CODE_ROOT = Path(__file__).parents[2]  # the folder that holds the packaged code, the catalog and the artifacts
ReplicaUrl = Annotated[str, Field(pattern=r"^https?://[^/]+")]


class FunctionSettings(Settings):
    """`stack`: name of the stack, which its metrics carry. Without it a function writes no metrics."""

    stack: str = ""


S = TypeVar("S", bound=FunctionSettings)


def read_function_settings(kind: type[S]) -> S:
    """Read the settings of a function from the environment, and name its stack to the metrics. Raises ValueError."""
    settings = read_settings(kind)
    if settings.stack:
        set_stack(settings.stack)
    return settings


class InferSettings(FunctionSettings):
    """`replica_url`: base address of the model server. `catalog` and `artifacts`: beside the code, unless set."""

    replica_url: ReplicaUrl
    auth: Auth = "iam"
    catalog: Path = CODE_ROOT / "catalog.toml"
    artifacts: Path = CODE_ROOT / "artifacts"


class BatchSettings(FunctionSettings):
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


class NotifySettings(FunctionSettings):
    """The table that holds webhooks, the queue of events, and which addresses a webhook may have."""

    jobs_table: str
    notify_queue_url: str
    webhook_reach: Reach = "public"
