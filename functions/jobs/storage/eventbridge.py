"""The event bus contract over EventBridge. Must not know who listens."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from functions.jobs.storage.contracts import EVENT_SOURCE
from shared.errors import Unavailable


class EventBridgeBus:
    """The event bus `name`, which takes events of batch jobs alone. `make_client` is called at the first use."""

    def __init__(self, name: str, make_client: Callable[[], Any]) -> None:
        self._name = name
        self._make_client = make_client

    @cached_property
    def _client(self) -> Any:
        return self._make_client()

    def put(self, kind: str, detail: Mapping[str, object]) -> None:
        """Publish one event. Raises Unavailable when the bus did not take it."""
        text = json.dumps(detail, ensure_ascii=False)
        entry = {"EventBusName": self._name, "Source": EVENT_SOURCE, "DetailType": kind, "Detail": text}
        answer = self._client.put_events(Entries=[entry])
        if answer.get("FailedEntryCount"):
            raise Unavailable("the event bus did not take an event", retry_after_s=1.0)
