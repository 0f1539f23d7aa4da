"""The API under test, twice: behind the authorizer of the template, and open to everyone.

Over real models it needs torch, for a recording the API of the unit tests; so each is imported where it is made. Must
not know any client.
"""

from __future__ import annotations

from pathlib import Path

from functions.http.authentication import OPEN, Auth
from functions.http.resolver import Resolver
from tests.conformance.gateway import Gateway, make_gateway

BEARER = Auth("bearer")


def models(folder: Path) -> tuple[Resolver, Resolver, Gateway]:
    """Return the API over mini and small random models, whose files are written below a folder."""
    from tests.conformance.models import serve_models  # noqa: PLC0415 - imports torch

    make = serve_models(folder)
    return make(BEARER), make(OPEN), make_gateway()


def recording() -> tuple[Resolver, Resolver, Gateway]:
    """Return the API of the unit tests."""
    from tests.unit.functions.http.model_server import make_with_v2  # noqa: PLC0415 - imports pytest

    return make_with_v2(BEARER), make_with_v2(OPEN), make_gateway()
