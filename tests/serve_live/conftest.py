"""One Ray Serve for this folder's tests: own home, own ports, small random checkpoints; it sees no running stack.

It serves one checkpoint of each kind of each family, and two models over one classifier.
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
from shared.catalog import Catalog, load_catalog
from shared.messages import InferCall, Tensor
from shared.protocol import encode_call
from tests.checkpoints import draw, write
from tests.families import make_catalog, write_whole
from tests.serve_live.handler import Door, opened
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
    """What came back over HTTP; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Standing:
    """A server that stands, what it serves, and a client of it.

    `families` is the catalog of those models that have tokenizers, as the functions read it; it lies where `path` does.
    """

    workspace: Workspace
    url: str
    catalog: Catalog
    engine: Engine
    path: Path
    families: Path
    pool: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False, maxsize=64))

    @property
    def pid(self) -> int:
        """Process that holds the server up."""
        found = processes.alive(self.workspace, model_server.NAME)
        assert found is not None
        return found

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Send one request."""
        reply = self.pool.request(method, self.url + path, body=body, headers=dict(headers or {}), timeout=30.0)
        return Answer(reply.status, {name.lower(): value for name, value in reply.headers.items()}, reply.data)

    def infer(self, call: InferCall, headers: Mapping[str, str] | None = None) -> Answer:
        """Send one call to its model."""
        body = encode_call(call)
        return self.ask("POST", f"/v2/models/{call.model}/infer", body.data, {**body.headers, **(headers or {})})


@pytest.fixture(scope="session")
def door(standing: Standing) -> Iterator[Door]:
    """Start the infer function before the families' models."""
    artifacts = standing.path.parent / "artifacts"
    write_artifacts(load_catalog(standing.families), standing.path.parent, artifacts)
    settings = {
        "GLOSSA_REPLICA_URL": standing.url,
        "GLOSSA_CATALOG": str(standing.families),
        "GLOSSA_ARTIFACTS": str(artifacts),
    }
    with opened(settings, standing.path.parent / "infer.log") as door:
        yield door


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """Start the server; end it after the last test, all of it and no call lost."""
    home = tmp_path_factory.mktemp("ray")
    torch.set_num_threads(1)
    families = make_catalog(home / "families.toml", write_whole(home), num_cpus=0.2)
    catalog = _write_catalog(home, families)
    workspace = Workspace(ROOT, home)
    try:
        url = model_server.start(workspace, catalog)
        loaded = load_catalog(catalog)
        up = Standing(workspace, url, loaded, load_engine(loaded.models["small"], home), catalog, families)
        family = descendants(up.pid)
        yield up
        answer = _stop_with_a_call_in_flight(up)
    finally:
        model_server.stop(workspace)
        shutil.rmtree(temp_dir(workspace), ignore_errors=True)
    assert answer.status == 200
    assert running(family) == set()


def _stop_with_a_call_in_flight(up: Standing) -> Answer:
    """Stop the server as soon as it holds a large call; return what the call was answered."""
    call = InferCall("small", "topic", Tensor.ints([0] * 16_384), Tensor.ints([512] * 32), timeout_s=20.0)
    with ThreadPoolExecutor(1) as caller:
        sent = caller.submit(up.infer, call)
        while not sent.done():
            if up.ask("GET", "/v2/models/small/stats").json["model_stats"][0]["glossa"]["backlog_tokens"]:
                break
        model_server.stop(up.workspace)
        return sent.result()


def _write_catalog(home: Path, families: Path) -> Path:
    """Write a catalog of the classifiers after what the other has."""
    folder = write(draw("XLMRobertaForSequenceClassification"), home / "checkpoint")
    path = home / "catalog.toml"
    ours = CLASSIFIERS.format(weights=weights_sha256(folder), zeros="0" * 64)
    path.write_text(families.read_text(encoding="utf-8") + ours, encoding="utf-8")
    return path
