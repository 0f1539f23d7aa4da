"""Every route of the API in one process: both functions over one catalog, and a model server with the fake engine.

The model server speaks the real protocol over a transport in memory. Must not know what is asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from functions.http.authentication import OPEN
from functions.http.jobs_routes import make_api as make_jobs_api
from functions.http.text_routes import make_api
from functions.jobs.api.error_rows import ErrorRows
from functions.jobs.api.results import Results
from functions.pipeline.pipeline import Pipeline
from functions.replica.client import ReplicaClient
from functions.replica.fake import FakeTransport, SentRequest
from functions.replica.transport import Reply
from serve.engine.fake import FakeEngine
from serve.engine.run_call import infer
from serve.http.metadata import metadata
from shared.catalog import Catalog, Model
from shared.errors import GlossaError, NotFound
from shared.protocol import CallLimits, decode_call, encode_error, encode_output
from tests.events import FakeContext
from tests.unit.functions.http import world
from tests.unit.functions.jobs import wiring
from tests.unit.functions.jobs.world import Clock

MAX_TOKENS = 128
_JOBS = re.compile(r"/v1/(?:jobs|recipes)(?:/|$)")
_MODEL = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(/\w+)?")


def served_catalog() -> Catalog:
    """Return the catalog of the unit tests, with a model for longer texts, and one that weighs tokens."""
    plain = world.catalog()
    raw = json.loads(plain.model_dump_json())
    for model in raw["models"].values():
        model["max_tokens"] = MAX_TOKENS
    sparse = {"task": "feature-extraction", "variant": "sparse", "prefix": "sparse"}
    raw["models"]["sparse"] = raw["models"]["plain"] | {"name": "sparse", "heads": {"weights": sparse}}
    return Catalog.model_validate(raw)


class WholeApi:
    """Answers an event of API Gateway by the function that API Gateway would ask."""

    def __init__(self) -> None:
        """Make both functions."""
        catalog = served_catalog()
        client = ReplicaClient("http://127.0.0.1:9", transport=FakeTransport(_ModelServer(catalog).reply))
        pipeline = Pipeline(catalog, dict.fromkeys(catalog.models, world.tokenizer()))
        effects = wiring.in_memory(Clock())
        where = {"table": effects.table, "objects": effects.objects, "output_bucket": effects.output_bucket}
        self._infer = make_api(pipeline, client, OPEN)
        self._jobs = make_jobs_api(
            wiring.make_jobs(effects),
            wiring.make_recipes(effects),
            Results(**where),
            ErrorRows(**where),
            catalog=catalog,
            auth=OPEN,
        )

    def resolve(self, event: Mapping[str, Any], context: FakeContext) -> dict[str, Any]:
        """Answer one event."""
        api = self._jobs if _JOBS.match(str(event["path"])) else self._infer
        return api.resolve(event, context)


class _ModelServer:
    """Replies as Ray Serve does, without weights."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._engines = {name: FakeEngine(model) for name, model in catalog.models.items()}

    def reply(self, sent: SentRequest) -> Reply:
        """Reply to one request."""
        try:
            found = _SERVER.get(sent.path)
            if found is None:
                return self._of_a_model(sent)
            return _json(found(self._catalog))
        except GlossaError as error:
            body = encode_error(error)
            return Reply(error.status, dict(body.headers), bytes(body.data))

    def _of_a_model(self, sent: SentRequest) -> Reply:
        path = _MODEL.fullmatch(sent.path)
        if path is None:
            raise NotFound(f"no route {sent.path}")
        model = self._catalog.model(path[1])
        if path[2] not in (None, model.revision):
            raise NotFound(f"no version {path[2]} of model {model.name}")
        if path[3] == "/infer":
            return self._answer(model, sent)
        of_get = {
            None: lambda: metadata(model, _limits(model)),
            "/ready": lambda: {"name": model.name, "version": model.revision, "ready": True},
            "/stats": lambda: {"model_stats": [{"name": model.name, "version": model.revision}]},
        }
        if path[3] not in of_get:
            raise NotFound(f"no route {sent.path}")
        return _json(of_get[path[3]]())

    def _answer(self, model: Model, sent: SentRequest) -> Reply:
        decoded = decode_call(model.name, sent.headers, sent.data, _limits(model))
        output = infer(self._engines[model.name], decoded.call)
        body = encode_output(decoded, model.name, model.revision, output)
        return Reply(200, dict(body.headers), bytes(body.data))


def _limits(model: Model) -> CallLimits:
    return CallLimits(
        max_body_bytes=4 * 2**20,
        max_rows=1024,
        max_tokens=16_384,
        max_row_tokens=model.max_tokens,
        vocab_size=model.vocab_size,
    )


def _json(value: object) -> Reply:
    return Reply(200, {"content-type": "application/json"}, json.dumps(value).encode())


def _index(catalog: Catalog) -> list[dict[str, str]]:
    return [
        {"name": model.name, "version": model.revision, "state": "READY", "reason": ""}
        for model in catalog.models.values()
    ]


_SERVER: Mapping[str, Any] = {
    "/v2": lambda _: {"name": "glossa", "version": "0", "extensions": ["binary_tensor_data"]},
    "/v2/health/live": lambda _: {"live": True},
    "/v2/health/ready": lambda _: {"ready": True},
    "/v2/repository/index": _index,
}
