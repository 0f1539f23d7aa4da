"""The door to EventBridge, and the contract of every bus: says that something happened, at least once.

Must not know who listens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Protocol

from shared.errors import Unavailable

SOURCE = "glossa"


class EventBus(Protocol):
    """Takes events for whoever subscribes to them."""

    def put(self, kind: str, detail: Mapping[str, object]) -> None:
        """Say that something happened. Raises Unavailable when the bus did not take it."""
        ...


class EventBridgeBus:
    """The contract over the account's default bus; `client` is made at first use."""

    def __init__(self, make_client: Callable[[], Any]) -> None:
        self._make_client = make_client

    @cached_property
    def _client(self) -> Any:
        return self._make_client()

    def put(self, kind: str, detail: Mapping[str, object]) -> None:
        """Say that something happened. Raises Unavailable when the bus did not take it."""
        entry = {"Source": SOURCE, "DetailType": kind, "Detail": json.dumps(detail, ensure_ascii=False)}
        answer = self._client.put_events(Entries=[entry])
        if answer.get("FailedEntryCount"):
            raise Unavailable("the event bus did not take an event", retry_after_s=1.0)


class InMemoryEventBus:
    """The contract in memory: keeps what was said, each in EventBridge's envelope."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def put(self, kind: str, detail: Mapping[str, object]) -> None:
        """Keep an event."""
        read = json.loads(json.dumps(detail))
        self.events.append({"source": SOURCE, "detail-type": kind, "detail": read})
