"""Every task of every model family is answered: catalog, pipeline, client, protocol and engine in one process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from functions.http.authentication import OPEN
from functions.http.resolver import Resolver
from functions.http.text_routes import make_api
from functions.pipeline.pipeline import Pipeline
from functions.replica.client import ReplicaClient
from functions.replica.fake import FakeTransport, SentRequest
from functions.replica.transport import Reply
from functions.tasks.registry import TASK_NAMES
from functions.tokenizers.load import load_tokenizers
from glossa.commands.artifacts import write_artifacts
from serve.engine.engine import Engine
from serve.engine.load_engine import load_engine
from serve.engine.run_call import infer
from shared.catalog import Catalog, load_catalog
from shared.errors import GlossaError
from shared.protocol import CallLimits, decode_call, encode_error, encode_output
from tests.families import BODIES, PLAIN, make_catalog, write_plain
from tests.unit.functions.http.world import post

Served = tuple[Catalog, Resolver]


def _served(root: Path, folders: list[Path]) -> Served:
    """Add every folder to a catalog. Serve it as the model server does, but without its scheduler."""
    catalog = load_catalog(make_catalog(root / "catalog.toml", folders))
    write_artifacts(catalog, root, root / "artifacts")
    engines = {name: load_engine(model, root) for name, model in catalog.models.items()}
    pipeline = Pipeline(catalog, load_tokenizers(catalog, root / "artifacts"))
    client = ReplicaClient("http://127.0.0.1:9", transport=FakeTransport(_replica(engines, catalog)))
    return catalog, make_api(pipeline, client, OPEN)


def _replica(engines: dict[str, Any], catalog: Catalog) -> Callable[[SentRequest], Reply]:
    def respond(sent: SentRequest) -> Reply:
        name = sent.path.split("/")[3]
        model = catalog.model(name)
        limits = CallLimits(4 * 2**20, 1024, 16_384, model.max_tokens, model.vocab_size)
        engine: Engine = engines[name]
        try:
            decoded = decode_call(name, sent.headers, sent.data, limits)
            body = encode_output(decoded, name, "1", infer(engine, decoded.call))
        except GlossaError as error:
            refusal = encode_error(error)
            return Reply(error.status, refusal.headers, refusal.data)
        return Reply(200, body.headers, body.data)

    return respond


@pytest.fixture(scope="module", params=PLAIN)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Serve one family: a tiny checkpoint of every class."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp(request.param)
    return _served(root, write_plain(request.param, root))


def test_every_task_of_every_head_answers(served: Served) -> None:
    """Each head of each model answers each of its tasks, with one result for each input."""
    catalog, api = served
    answered = set()
    for name, model in catalog.models.items():
        for head, facts in model.heads.items():
            for task in facts.tasks:
                inputs, parameters = BODIES[task]
                body = {"inputs": inputs, "parameters": parameters, "model": f"{name}:{head}"}
                status, answer, _ = post(api, task, body)
                assert status == 200, (name, head, task, answer)
                assert len(answer["results"]) == len(inputs)
                answered.add(task)
    assert answered == set(TASK_NAMES)


def test_an_input_may_name_its_language(served: Served) -> None:
    """A model that reads languages accepts `lang`. Every other model refuses it."""
    catalog, api = served
    name = next(iter(catalog.models))
    body = {"inputs": [{"text": "Alle Menschen", "lang": "de"}], "model": name}
    status, answer, _ = post(api, "text-classification", body)
    reads = bool(catalog.model(name).lang2id)
    assert status == (200 if reads else 422)
    assert reads or "reads no languages" in answer["detail"]
