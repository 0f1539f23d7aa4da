"""The door that mends what crashed: settings are read here, once, at init; invoked by the clock."""

from __future__ import annotations

from typing import Any

from functions.jobs.steps.sqs_handler import time_left
from functions.jobs.steps.sweep import Sweeper
from functions.jobs.storage.aws import BatchSettings, open_aws
from shared.settings import read_settings


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:  # noqa: ARG001 - the clock says nothing
    """Sweep once; returns what was done, counted."""
    return sweeper.run(time_left(context))


sweeper = Sweeper(open_aws(read_settings(BatchSettings)))
