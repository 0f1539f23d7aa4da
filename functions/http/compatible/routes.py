"""Adds the routes of other ecosystems. The module that answers one is imported with the first request for any of them.

So a function that starts for routes of ours does not pay for these. Must not know how a route is answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from functions.http.compatible.paths import compatible_routes
from functions.http.compatible.service import Service


def add_compatible_routes(service: Service) -> None:
    """Add the routes of all ecosystems to the API."""
    for method, path in compatible_routes():
        service.api.route(path, method)(_answering(service, path))


def load_answers() -> Mapping[str, Callable[..., object]]:
    """Return what answers each path. Call it before a snapshot is taken, so that the snapshot holds the modules."""
    from functions.http.compatible.answers import ANSWERS  # noqa: PLC0415 - start-up time costs money

    return ANSWERS


def _answering(service: Service, path: str) -> Callable[..., object]:
    def answer(**found: str) -> object:
        return load_answers()[path](service, **found)

    return answer
