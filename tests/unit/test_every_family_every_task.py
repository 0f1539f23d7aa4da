"""Every task of every model family is answered: catalog, pipeline, client, protocol and engine in one process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from functions.http.resolver import Resolver
from functions.tasks.registry import TASK_NAMES
from shared.catalog import Catalog
from tests.families import BODIES, PLAIN, make_catalog, write_plain
from tests.served import serve_catalog
from tests.unit.functions.http.world import post

Served = tuple[Catalog, Resolver]


def _served(root: Path, folders: list[Path]) -> Served:
    """Add every folder to a catalog, and serve it."""
    return serve_catalog(make_catalog(root / "catalog.toml", folders))


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
