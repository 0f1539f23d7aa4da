"""The door of the synchronous path: settings, catalog and tokenizers are read here, once, at init.

A SnapStart snapshot holds what is loaded; connections are dropped before it and opened after.
"""

from __future__ import annotations

from typing import Any

from functions.edge import Resolver
from functions.infer.api import Replica, make_api
from functions.infer.settings import InferSettings
from functions.pipeline.journey import Journey
from functions.pipeline.tokenize import load_tokenizers
from functions.replica_client import ReplicaClient
from shared.catalog import load_catalog
from shared.settings import read_settings


def build(settings: InferSettings, replica: Replica) -> Resolver:
    """Load what the routes need and make them. Raises ValueError, OSError when it cannot be loaded."""
    catalog = load_catalog(settings.catalog)
    return make_api(Journey(catalog, load_tokenizers(catalog, settings.artifacts)), replica, settings.auth)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one API Gateway proxy event."""
    return api.resolve(event, context)


settings = read_settings(InferSettings)
replica = ReplicaClient(settings.replica_url)
api = build(settings, replica)

try:  # in the Lambda runtime; elsewhere nobody takes snapshots
    from snapshot_restore_py import register_before_snapshot
except ImportError:
    pass
else:
    register_before_snapshot(replica.close)
