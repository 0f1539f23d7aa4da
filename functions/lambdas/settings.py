"""What the infer function reads from its environment, once. Must not know what is done with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from functions.http.authentication import Auth
from shared.settings import Settings

CODE_ROOT = Path(__file__).parents[2]


class InferSettings(Settings):
    """`replica_url`: base address of the model server; `catalog`, `artifacts`: beside the code unless said."""

    replica_url: Annotated[str, Field(pattern=r"^https?://[^/]+")]
    auth: Auth = "iam"
    catalog: Path = CODE_ROOT / "catalog.toml"
    artifacts: Path = CODE_ROOT / "artifacts"
