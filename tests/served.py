"""Serves the models of a catalog in one process: pipeline, client, protocol and engines, without the scheduler and Ray.

Must not know who asks, nor which models there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from functions.http.authentication import OPEN
from functions.http.resolver import Resolver
from functions.http.text_routes import make_api
from functions.pipeline.pipeline import Pipeline
from functions.replica.client import ReplicaClient
from functions.replica.fake import FakeTransport, SentRequest
from functions.replica.transport import Reply
from functions.tokenizers.load import load_tokenizers
from glossa.commands.artifacts import write_artifacts
from serve.engine.engine import Engine
from serve.engine.load_engine import load_engine
from serve.engine.run_call import infer
from shared.catalog import Catalog, load_catalog
from shared.errors import GlossaError
from shared.protocol import CallLimits, decode_call, encode_error, encode_output


def serve_catalog(path: Path, page_stores: Sequence[str] | None = None) -> tuple[Catalog, Resolver]:
    """Load each model of a catalog file, and return the API over them. Tokenizer files go beside the catalog.

    `page_stores` are those of `make_api`: None makes no pages.
    """
    root, catalog = path.parent, load_catalog(path)
    write_artifacts(catalog, root, root / "artifacts")
    engines = {name: load_engine(model, root) for name, model in catalog.models.items()}
    pipeline = Pipeline(catalog, load_tokenizers(catalog, root / "artifacts"))
    client = ReplicaClient("http://127.0.0.1:9", transport=FakeTransport(_replica(engines, catalog)))
    return catalog, make_api(pipeline, client, OPEN, page_stores=page_stores)


def _replica(engines: Mapping[str, Engine], catalog: Catalog) -> Callable[[SentRequest], Reply]:
    def respond(sent: SentRequest) -> Reply:
        if sent.path.endswith("/ready"):
            return Reply(200)
        name = sent.path.split("/")[3]
        model = catalog.model(name)
        limits = CallLimits(4 * 2**20, 1024, 16_384, model.max_tokens, model.vocab_size)
        try:
            decoded = decode_call(name, sent.headers, sent.data, limits)
            body = encode_output(decoded, name, "1", infer(engines[name], decoded.call))
        except GlossaError as error:
            refusal = encode_error(error)
            return Reply(error.status, refusal.headers, refusal.data)
        return Reply(200, body.headers, body.data)

    return respond
