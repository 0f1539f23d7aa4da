"""One Ray Serve for the tests of this folder, with its own home and ports. It sees no other running stack.

It serves small random checkpoints: one of each kind of each family, and two models over one classifier.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import urllib3

from glossa.commands.artifacts import write_artifacts
from local import model_server, processes
from local.ray_workspace import temp_dir
from local.workspace import ROOT, Workspace
from serve.checkpoints.verify import weights_sha256
from serve.engine.engine import Engine
from serve.engine.load_engine import load_engine
from shared.call_keys import KeyFile
from shared.call_token import TOKEN_HEADER, sign
from shared.catalog import Catalog, load_catalog
from shared.messages import InferCall, Tensor
from shared.protocol import encode_call
from tests.checkpoints import draw, write
from tests.families import make_catalog, write_whole
from tests.serve_live.infer_function import InferFunction, running_function
from tests.serve_live.tree import descendants, running

CLASSIFIERS = """
[models.small]
family = "xlm-roberta"
checkpoint = "checkpoint"
weights_sha256 = "{weights}"
tokenizer_sha256 = "{zeros}"
max_tokens = 512
vocab_size = 500
replicas = {{ num_cpus = 0.2 }}
heads = {{ topic = {{ task = "text-classification", prefix = "classifier", labels = ["a", "b", "c", "d", "e"] }} }}
[models.narrow]
family = "xlm-roberta"
checkpoint = "checkpoint"
weights_sha256 = "{weights}"
tokenizer_sha256 = "{zeros}"
max_tokens = 512
vocab_size = 500
replicas = {{ num_cpus = 0.2 }}
max_backlog_tokens = 600
heads = {{ topic = {{ task = "text-classification", prefix = "classifier", labels = ["a", "b", "c", "d", "e"] }} }}
"""


@dataclass(frozen=True)
class Answer:
    """What came back over HTTP. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Server:
    """A running server, what it serves, and a client of it.

    `path` is its catalog. `families` is a second catalog in the same folder, with only the models that have tokenizers.
    The functions read that one.
    """

    workspace: Workspace
    url: str
    catalog: Catalog
    engine: Engine
    path: Path
    families: Path
    pool: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False, maxsize=64))

    @property
    def keys(self) -> KeyFile:
        """The keys that sign calls to it."""
        return KeyFile(self.workspace.call_keys)

    @property
    def pid(self) -> int:
        """The process that runs the server."""
        found = processes.alive(self.workspace, model_server.NAME)
        assert found is not None
        return found

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Send one request, signed."""
        signed = {TOKEN_HEADER: sign(self.keys.keys(), method, path, body), **(headers or {})}
        reply = self.pool.request(method, self.url + path, body=body, headers=signed, timeout=30.0)
        return Answer(reply.status, {name.lower(): value for name, value in reply.headers.items()}, reply.data)

    def infer(self, call: InferCall, headers: Mapping[str, str] | None = None) -> Answer:
        """Send one call to its model."""
        body = encode_call(call)
        return self.ask("POST", f"/v2/models/{call.model}/infer", body.data, {**body.headers, **(headers or {})})


@pytest.fixture(scope="session")
def function(server: Server) -> Iterator[InferFunction]:
    """Start the infer function with the catalog of the families."""
    artifacts = server.path.parent / "artifacts"
    write_artifacts(load_catalog(server.families), server.path.parent, artifacts)
    settings = {
        "GLOSSA_REPLICA_URL": server.url,
        "GLOSSA_CALL_KEYS_FILE": str(server.workspace.call_keys),
        "GLOSSA_CATALOG": str(server.families),
        "GLOSSA_ARTIFACTS": str(artifacts),
    }
    with running_function(settings, server.path.parent / "infer.log") as function:
        yield function


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start the server. After the last test, stop it, and check that no process is left and no call was lost."""
    home = tmp_path_factory.mktemp("ray")
    torch.set_num_threads(1)
    families = make_catalog(home / "families.toml", write_whole(home), num_cpus=0.2)
    catalog = _write_catalog(home, families)
    workspace = Workspace(ROOT, home)
    try:
        url = model_server.start(workspace, catalog, metrics=True)
        loaded = load_catalog(catalog)
        started = Server(workspace, url, loaded, load_engine(loaded.models["small"], home), catalog, families)
        processes_before = descendants(started.pid)
        yield started
        answer = _stop_with_a_call_in_flight(started)
    finally:
        model_server.stop(workspace)
        shutil.rmtree(temp_dir(workspace), ignore_errors=True)
    assert answer.status == 200
    assert running(processes_before) == set()


def _stop_with_a_call_in_flight(started: Server) -> Answer:
    """Stop the server as soon as it has a large call. Return the answer to that call."""
    call = InferCall("small", "topic", Tensor.ints([0] * 16_384), Tensor.ints([512] * 32), timeout_s=20.0)
    with ThreadPoolExecutor(1) as caller:
        sent = caller.submit(started.infer, call)
        while not sent.done():
            if started.ask("GET", "/v2/models/small/stats").json["model_stats"][0]["glossa"]["backlog_tokens"]:
                break
        model_server.stop(started.workspace)
        return sent.result()


def _write_catalog(home: Path, families: Path) -> Path:
    """Write a catalog with the models of `families`, followed by the classifiers."""
    folder = write(draw("XLMRobertaForSequenceClassification"), home / "checkpoint")
    path = home / "catalog.toml"
    ours = CLASSIFIERS.format(weights=weights_sha256(folder), zeros="0" * 64)
    path.write_text(families.read_text(encoding="utf-8") + ours, encoding="utf-8")
    return path
