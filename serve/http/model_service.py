"""What the routes of a model need from a replica, so that tests can stand in for one.

Declares, and does nothing. Must not know routes or how a call is answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from serve.http.callers import Verify
from shared.catalog import Model
from shared.protocol import Body, CallLimits


class ModelService(Protocol):
    """What the routes need from a replica."""

    model: Model
    limits: CallLimits

    verify: Verify

    async def infer(self, headers: Mapping[str, str], data: bytes, tenant: str | None = None) -> Body:
        """Answer the body of an infer request, for a tenant that a token names."""
        ...

    async def check_health(self) -> None:
        """Return when the engine answers. Raises when it does not."""
        ...

    async def drain(self) -> None:
        """Refuse new calls and finish the admitted ones."""
        ...

    def metadata(self) -> dict[str, object]:
        """Return v2 metadata."""
        ...

    def config(self) -> dict[str, object]:
        """Return the v2 configuration of the model."""
        ...

    def statistics(self) -> dict[str, object]:
        """Return v2 statistics."""
        ...
