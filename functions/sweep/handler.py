"""The door that mends what crashed: settings are read here, once, at init; invoked by the clock."""

from __future__ import annotations

from typing import Any

from functions.batch.deliveries import time_left
from functions.batch.doors import BatchSettings, open_aws
from functions.sweep.sweeper import Sweeper
from shared.settings import read_settings


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:  # noqa: ARG001 - the clock says nothing
    """Sweep once; returns what was done, counted."""
    return sweeper.run(time_left(context))


sweeper = Sweeper(open_aws(read_settings(BatchSettings)))
