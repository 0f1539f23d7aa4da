"""An event bus in memory, for tests, simulations and jobs within one process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from functions.jobs.storage.contracts import EVENT_SOURCE


class InMemoryEventBus:
    """Keeps the events that were published, each in EventBridge's envelope."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def put(self, kind: str, detail: Mapping[str, object]) -> None:
        """Keep one event."""
        copied = json.loads(json.dumps(detail))
        self.events.append({"source": EVENT_SOURCE, "detail-type": kind, "detail": copied})
