"""The model server for tests: the real routes below `/v2`, over models that compute with ids as the world does.

It needs neither torch nor an engine. Must not know who asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from functions.http.authentication import Auth
from functions.http.resolver import Resolver
from functions.http.text_routes import make_api
from functions.replica.fake import FakeReplica, SentRequest
from functions.replica.transport import Reply
from serve.http.callers import Verify, no_check
from serve.http.front_routes import RUNNING, FrontRoutes, ServedModel
from serve.http.metadata import config, metadata
from serve.http.routes import model_app
from shared.catalog import Model
from shared.protocol import Body, CallLimits, decode_call, encode_output
from shared.protocol.head_outputs import default_head
from tests.unit.functions.http.world import catalog, count_ids, pipeline
from tests.unit.serve.asgi import call


@dataclass(frozen=True)
class CountingModel:
    """A model of the world as the routes of the model server need it."""

    model: Model
    limits: CallLimits
    verify: Verify

    async def infer(self, headers: Mapping[str, str], data: bytes, tenant: str | None = None) -> Body:
        """Answer with numbers computed from ids."""
        decoded = decode_call(self.model.name, headers, data, self.limits)
        chosen = "" if decoded.call.head else default_head(self.model)
        asked = replace(decoded.call, head=decoded.call.head or chosen)
        labels = self.model.heads[asked.head].labels
        found = count_ids(asked)
        return encode_output(decoded, self.model.name, self.model.revision, found, labels=labels, answered_by=chosen)

    async def check_health(self) -> None:
        """Answer at once."""

    async def drain(self) -> None:
        """Do nothing: no call waits."""

    def metadata(self) -> dict[str, object]:
        """Return v2 metadata."""
        return metadata(self.model, self.limits)

    def config(self) -> dict[str, object]:
        """Return the v2 configuration."""
        return config(self.model)

    def statistics(self) -> dict[str, object]:
        """Return v2 statistics of a model that nobody has asked."""
        return {"model_stats": [{"name": self.model.name, "version": self.model.revision, "inference_count": 0}]}


def respond(sent: SentRequest) -> Reply:
    """Answer one request to the model server."""
    models = catalog().models
    named = sent.path.removeprefix("/v2/models/").split("/")[0]
    if sent.path.startswith("/v2/models/") and named in models:
        limits = CallLimits(4 * 2**20, 64, 4096, models[named].max_tokens, models[named].vocab_size)
        prefix, app = f"/v2/models/{named}", model_app(CountingModel(models[named], limits, no_check()))
    else:
        served = tuple(ServedModel(name, model.revision) for name, model in models.items())
        front = FrontRoutes(served, lambda: dict.fromkeys(models, RUNNING), verifier=no_check)
        prefix, app = "/v2", front.__serve_build_asgi_app__()
    path = sent.path.removeprefix(prefix)
    answer = asyncio.run(call(app, sent.method, path, body=sent.data, headers=sent.headers, prefix=prefix))
    return Reply(answer.status, answer.headers, answer.body)


def make_with_v2(auth: Auth) -> Resolver:
    """Make the API of the world, with this model server behind it."""
    return make_api(pipeline(), FakeReplica(count_ids, respond=respond), auth)
