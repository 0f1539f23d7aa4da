"""The model server in this process: a replica for each model and the application at `/v2`, without Ray.

Every request runs on one event loop, as in a replica. Must not know who asks, nor which models there are.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from functions.replica.fake import SentRequest
from functions.replica.transport import Reply
from serve.engine.load_engine import load_engine
from serve.http.callers import no_check
from serve.http.front_routes import RUNNING, FrontRoutes, ServedModel
from serve.replica import Replica
from shared.catalog import Catalog
from tests.unit.serve.asgi import call

TIMEOUT_S = 60.0


class ModelServer:
    """Serves every model of a catalog, from checkpoints below a folder."""

    def __init__(self, catalog: Catalog, root: Path) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        replicas = {
            name: Replica(model, lambda model=model: load_engine(model, root), verifier=no_check)  # type: ignore[misc] # mypy knows no default of a lambda
            for name, model in catalog.models.items()
        }
        models = tuple(ServedModel(name, model.revision) for name, model in catalog.models.items())
        front = FrontRoutes(models, lambda: dict.fromkeys(catalog.models, RUNNING), verifier=no_check)
        self._apps: dict[str, ASGIApp] = {
            f"/v2/models/{name}": replica.__serve_build_asgi_app__() for name, replica in replicas.items()
        }
        self._apps["/v2"] = front.__serve_build_asgi_app__()

    def respond(self, sent: SentRequest) -> Reply:
        """Answer one request."""
        prefix = next(each for each in self._apps if f"{sent.path}/".startswith(f"{each}/"))
        path = sent.path.removeprefix(prefix)
        answer = self._run(
            call(self._apps[prefix], sent.method, path, body=sent.data, headers=sent.headers, prefix=prefix)
        )
        return Reply(answer.status, answer.headers, answer.body)

    def _run(self, asked: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result(TIMEOUT_S)
