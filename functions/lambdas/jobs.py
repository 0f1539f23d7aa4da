"""The door of the jobs API: settings and catalog are read here, once, at init."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from functions.http.authentication import Auth
from functions.http.jobs_routes import make_api
from functions.http.resolver import Resolver
from functions.jobs.state.webhooks import Reach
from functions.jobs.storage.aws import BatchSettings, Doors, open_aws
from shared.catalog import load_catalog
from shared.settings import read_settings

CODE_ROOT = Path(__file__).parents[2]


class JobsSettings(BatchSettings):
    """`webhook_reach`: which addresses may be called; `catalog`: beside the code unless said."""

    auth: Auth = "iam"
    webhook_reach: Reach = "public"
    catalog: Path = CODE_ROOT / "catalog.toml"


def build(settings: JobsSettings, doors: Doors) -> Resolver:
    """Read the catalog and make the routes. Raises ValueError, OSError when it cannot be read."""
    return make_api(doors, load_catalog(settings.catalog), settings.auth, settings.webhook_reach)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one API Gateway proxy event."""
    return api.resolve(event, context)


settings = read_settings(JobsSettings)
api = build(settings, open_aws(settings))
