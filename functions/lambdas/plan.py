"""The door that cuts documents into shards: settings and catalog are read here, once, at init."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from functions.jobs.steps.plan.planner import Planner
from functions.jobs.steps.sqs_handler import time_left
from functions.jobs.storage.aws import BatchSettings, Doors, open_aws
from shared.catalog import parse_catalog
from shared.settings import read_settings

CODE_ROOT = Path(__file__).parents[2]


class PlanSettings(BatchSettings):
    """`catalog`: beside the code unless said."""

    catalog: Path = CODE_ROOT / "catalog.toml"


def build(settings: PlanSettings, doors: Doors) -> Planner:
    """Read the catalog and make the planner. Raises ValueError, OSError when it cannot be read."""
    text = settings.catalog.read_text(encoding="utf-8")
    return Planner(doors, parse_catalog(text), hashlib.sha256(text.encode()).hexdigest())


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one event of the plan queue."""
    return planner.answer(event, time_left(context))


settings = read_settings(PlanSettings)
planner = build(settings, open_aws(settings))
