"""The models that clients are tried on: mini, and small random ones for the tasks that mini has no head for.

Must not know any client.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from functions.http.authentication import Auth
from functions.http.resolver import Resolver
from functions.http.text_routes import make_api
from functions.pipeline.pipeline import Pipeline
from functions.replica.client import ReplicaClient
from functions.replica.fake import FakeTransport
from functions.tokenizers.load import load_tokenizers
from glossa.commands.artifacts import write_artifacts
from glossa.commands.catalog.add import add
from glossa.commands.catalog.options import EntryOptions
from local.workspace import ROOT
from shared.catalog import load_catalog
from tests.conformance.model_server import ModelServer
from tests.families import write_whole

KINDS = ("xlm-roberta", "xlm-roberta-decoder")
SPARSE = "xlm-roberta"  # the one that also weighs tokens
WIDTH = 48


def serve_models(root: Path) -> Callable[[Auth], Resolver]:
    """Write the models and their catalog below a folder, and return what makes the API over them."""
    path = root / "catalog.toml"
    shutil.copy(ROOT / "catalog.toml", path)
    shutil.copytree(ROOT / "checkpoints", root / "checkpoints")
    for folder in write_whole(root, KINDS):
        if folder.name == SPARSE:
            _write_sparse_head(folder)
        add(path, str(folder), EntryOptions(folder.name, tokens_per_s=1e6))
    catalog = load_catalog(path)
    write_artifacts(catalog, root, root / "artifacts")
    transport = FakeTransport(ModelServer(catalog, root).respond)
    pipeline = Pipeline(catalog, load_tokenizers(catalog, root / "artifacts"))
    client = ReplicaClient("http://127.0.0.1:9", transport=transport)
    return lambda auth: make_api(pipeline, client, auth)


def _write_sparse_head(folder: Path) -> None:
    """Add random weights of a head for sparse vectors, as bge-m3 has it in a file of its own."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(WIDTH, 1)
    save_file(dict(layer.state_dict()), folder / "sparse_linear.safetensors")
