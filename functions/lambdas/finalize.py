"""The door that closes jobs: settings are read here, once, at init."""

from __future__ import annotations

from typing import Any

from functions.jobs.steps.finalize import Finalizer
from functions.jobs.storage.aws import BatchSettings, open_aws
from shared.settings import read_settings


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001 - the runtime passes it
    """Answer one event of the finalize queue."""
    return finalizer.answer(event)


finalizer = Finalizer(open_aws(read_settings(BatchSettings)))
