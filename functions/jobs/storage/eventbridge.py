"""The event bus contract over EventBridge. Must not know who listens."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from functions.jobs.storage.contracts import EVENT_SOURCE
from shared.errors import Unavailable


class EventBridgeBus:
    """The account's default bus. `make_client` is called at the first use."""

    def __init__(self, make_client: Callable[[], Any]) -> None:
        self._make_client = make_client

    @cached_property
    def _client(self) -> Any:
        return self._make_client()

    def put(self, kind: str, detail: Mapping[str, object]) -> None:
        """Publish one event. Raises Unavailable when the bus did not take it."""
        entry = {"Source": EVENT_SOURCE, "DetailType": kind, "Detail": json.dumps(detail, ensure_ascii=False)}
        answer = self._client.put_events(Entries=[entry])
        if answer.get("FailedEntryCount"):
            raise Unavailable("the event bus did not take an event", retry_after_s=1.0)
