"""The door of the synchronous path: settings, catalog and tokenizers are read here, once, at init.

A SnapStart snapshot holds what is loaded and warm; connections are dropped before it and opened after.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from functions.http.text_routes import make_api
from functions.lambdas.settings import InferSettings
from functions.pipeline.pipeline import Pipeline
from functions.replica.client import ReplicaClient
from functions.tokenizers.load import load_tokenizers
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import load_catalog
from shared.settings import read_settings

WARM_TEXT = "Warm 暖かい ตัวอย่าง, ½ “quoted” é\u0301 <mask>"  # letters, words without spaces, what is normalized, a cut


def load(settings: InferSettings) -> Pipeline:
    """Load what the routes need. Raises ValueError, OSError when it cannot be loaded."""
    catalog = load_catalog(settings.catalog)
    return Pipeline(catalog, load_tokenizers(catalog, settings.artifacts))


def warm(tokenizers: Mapping[str, Tokenizer]) -> None:
    """Read a text with each tokenizer, so that a snapshot holds what a first request would make."""
    for tokenizer in tokenizers.values():
        tokenizer.decode(tokenizer.encode(WARM_TEXT).ids)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one API Gateway proxy event."""
    return api.resolve(event, context)


settings = read_settings(InferSettings)
replica = ReplicaClient(settings.replica_url)
pipeline = load(settings)
api = make_api(pipeline, replica, settings.auth)

try:  # in the Lambda runtime; elsewhere nobody takes snapshots
    from snapshot_restore_py import register_after_restore, register_before_snapshot
except ImportError:
    pass
else:
    register_before_snapshot(warm, pipeline.tokenizers)
    register_before_snapshot(replica.close)
    register_after_restore(replica.ready)  # connects; it says false, and raises nothing, where nobody answers
