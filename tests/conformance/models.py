"""The models that clients are tried on: mini, and small random ones for the tasks that mini has no head for.

Must not know any client.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from functions.http.resolver import Resolver
from glossa.commands.catalog.add import add
from glossa.commands.catalog.options import EntryOptions
from local.workspace import ROOT
from tests.families import write_whole
from tests.served import serve_catalog

KINDS = ("xlm-roberta", "xlm-roberta-decoder")


def served_models(root: Path) -> Resolver:
    """Write the models and their catalog below a folder, and return the API over them."""
    catalog = root / "catalog.toml"
    shutil.copy(ROOT / "catalog.toml", catalog)
    shutil.copytree(ROOT / "checkpoints", root / "checkpoints")
    for folder in write_whole(root, KINDS):
        add(catalog, str(folder), EntryOptions(folder.name, tokens_per_s=1e6))
    _, api = serve_catalog(catalog)
    return api
