"""The infer function: answers requests of the synchronous API. `handler` is its entry.

Settings, catalog and tokenizers are read once, at start. A SnapStart snapshot holds them, warm. Connections are closed
before the snapshot, and opened after it is restored. The keys that sign calls are read only then. Must not know any one
task or route.
"""

from __future__ import annotations

from collections.abc import Mapping

from functions.http.compatible.routes import load_answers
from functions.http.text_routes import make_api
from functions.lambdas.model_server import load_boto3, open_call_keys, open_client
from functions.lambdas.settings import InferSettings, read_function_settings
from functions.pipeline.pipeline import Pipeline
from functions.tokenizers.load import load_tokenizers
from functions.tokenizers.tokenizer import Tokenizer
from shared.call_keys import KeyCache
from shared.catalog import load_catalog

# Letters, words without spaces, characters that are normalized, and a mask.
WARM_TEXT = "Warm 暖かい ตัวอย่าง, ½ “quoted” é\u0301 <mask>"


def load(settings: InferSettings) -> Pipeline:
    """Load the catalog and its tokenizers. Raises ValueError or OSError when they cannot be loaded."""
    catalog = load_catalog(settings.catalog)
    return Pipeline(catalog, load_tokenizers(catalog, settings.artifacts))


def warm(tokenizers: Mapping[str, Tokenizer]) -> None:
    """Read a text with each tokenizer, so that a snapshot holds all that the first request would otherwise load."""
    for tokenizer in tokenizers.values():
        tokenizer.decode(tokenizer.encode(WARM_TEXT).ids)


settings = read_function_settings(InferSettings)
call_keys = open_call_keys(settings)
replica = open_client(settings, call_keys)
pipeline = load(settings)
handler = make_api(
    pipeline, replica, settings.callers, origins=settings.origins, page_stores=settings.shown_stores
).resolve

try:  # only the Lambda runtime has this module, and takes snapshots
    from snapshot_restore_py import register_after_restore, register_before_snapshot
except ImportError:
    pass
else:
    register_before_snapshot(warm, pipeline.tokenizers)
    register_before_snapshot(load_answers)
    register_before_snapshot(replica.close)
    if isinstance(call_keys, KeyCache):
        register_before_snapshot(load_boto3)
        register_before_snapshot(call_keys.forget)
        register_after_restore(call_keys.prepare)
    register_after_restore(replica.ready)  # opens a connection; returns False, and raises nothing, when nobody answers
