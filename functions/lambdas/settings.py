"""The settings of all Lambda functions. Each function reads its own from the environment once, when it is imported.

Must not know what is done with them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator, Field

from functions.http.authentication import Auth, AuthKind
from functions.http.cors import ORIGIN, Cors
from functions.jobs.state.webhooks import Reach
from shared.metrics import set_stack
from shared.settings import Settings, read_settings

CODE_ROOT = Path(__file__).parents[2]  # the folder that holds the packaged code, the catalog and the artifacts
AccountId = Annotated[str, Field(pattern=r"^([0-9]{12})?$")]
# http only to this machine, as the template demands: elsewhere texts and answers would travel in the clear
ReplicaUrl = Annotated[str, Field(pattern=r"^(?:https://[^/@]+|http://(?:127\.0\.0\.1|localhost)(?::[0-9]+)?)$")]
SecretArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[^\s]+$")]
Names = Annotated[frozenset[str], BeforeValidator(lambda text: {name.strip() for name in text.split(",")} - {""})]
Origin = Annotated[str, Field(pattern=f"^(?:{ORIGIN.pattern})$")]
Origins = Annotated[frozenset[Origin], BeforeValidator(lambda text: {name.strip() for name in text.split(",")} - {""})]


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


class ReplicaSettings(FunctionSettings):
    """How the model server is called.

    `replica_url`: its base address. `replica_ca`: the certificate of a private authority, in PEM; without this file the
    public ones are trusted. Calls are signed with the keys of the secret `call_keys_secret`, else of the file
    `call_keys_file`, which is for one machine. `breakers_table`: where functions share the states of their circuit
    breakers; without it each has its own.
    """

    replica_url: ReplicaUrl
    replica_ca: Path = CODE_ROOT / "replica-ca.pem"
    call_keys_secret: SecretArn | None = None
    call_keys_file: Path | None = None
    breakers_table: str = ""


class CallerSettings(FunctionSettings):
    """How callers are known: `auth`, and the roles whose sessions are one tenant, with commas between them.

    `cors_origins`: the origins whose pages may call from a browser, with commas between them.
    """

    auth: AuthKind = "iam"
    roles_as_tenants: Names = frozenset()
    cors_origins: Origins = frozenset()

    @property
    def origins(self) -> Cors:
        """Which pages of other origins may call."""
        return Cors(self.cors_origins)

    @property
    def callers(self) -> Auth:
        """What the routes take."""
        return Auth(self.auth, self.roles_as_tenants)


class InferSettings(ReplicaSettings, CallerSettings):
    """`catalog` and `artifacts`: beside the code, unless set.

    `page`: whether `/` and `/docs` show pages. `page_stores`: the origins to which they upload, with commas between.
    """

    catalog: Path = CODE_ROOT / "catalog.toml"
    artifacts: Path = CODE_ROOT / "artifacts"
    page: Literal["on", "off"] = "off"
    page_stores: Names = frozenset()

    @property
    def shown_stores(self) -> tuple[str, ...] | None:
        """What the routes take: the origins in order, or None when there are no pages."""
        return tuple(sorted(self.page_stores)) if self.page == "on" else None


class BatchSettings(FunctionSettings):
    """The table, the buckets and the queue of each step, which the functions of batch jobs share.

    `account_id` is the account that owns the buckets; with "" the owner of a bucket is not checked.
    """

    account_id: AccountId = ""
    input_bucket: str
    output_bucket: str
    jobs_table: str
    plan_queue_url: str
    work_queue_url: str
    finalize_queue_url: str


class JobsSettings(BatchSettings, CallerSettings):
    """The table of webhooks and the key that seals them. `webhook_reach`: which addresses a webhook may have.

    `catalog`: beside the code, unless set.
    """

    webhooks_table: str
    webhooks_key: str
    webhook_reach: Reach = "public"
    catalog: Path = CODE_ROOT / "catalog.toml"


class PlanSettings(BatchSettings):
    """`catalog`: beside the code, unless set."""

    catalog: Path = CODE_ROOT / "catalog.toml"


class WorkSettings(BatchSettings, ReplicaSettings):
    """`catalog` and `artifacts`: beside the code, unless set."""

    catalog: Path = CODE_ROOT / "catalog.toml"
    artifacts: Path = CODE_ROOT / "artifacts"


class FinalizeSettings(BatchSettings):
    """The bus that is told of the end of jobs, and the table of webhooks, from which those of deleted jobs go."""

    event_bus: str
    webhooks_table: str


class NotifySettings(FunctionSettings):
    """The tables of jobs and webhooks, the key that opens webhooks, the queue of events, the bucket of results.

    `webhook_reach`: which addresses a webhook may have.
    """

    jobs_table: str
    webhooks_table: str
    webhooks_key: str
    output_bucket: str
    notify_queue_url: str
    webhook_reach: Reach = "public"
