"""The API that the browser tests open: both API functions in one process, over fake models and stores in memory.

Must not know the browser, or how requests come.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from functions.http.authentication import OPEN
from functions.http.resolver import Resolver
from functions.http.text_routes import make_api
from functions.messages import Result
from functions.pipeline.pipeline import Pipeline
from functions.replica.fake import FakeReplica
from functions.tasks.task import TextRequest
from shared.errors import GlossaError
from tests.browser.buckets import HttpBuckets
from tests.events import FakeContext
from tests.unit.functions.http import world as fake
from tests.unit.functions.jobs.world import STEPS, Clock, World

JOBS = ("/v1/jobs", "/v1/recipes")
REST_S = 0.05
MAX_TOKENS = 512


class WallClock(Clock):
    """The real clock."""

    def __call__(self) -> int:
        """Return the time in epoch milliseconds."""
        return time.time_ns() // 1_000_000

    def pass_s(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)


@dataclass(frozen=True)
class Apis:
    """The resolver of texts, the world of jobs, and the lock that makes requests wait for each other."""

    texts: Resolver
    world: World
    buckets: HttpBuckets
    lock: threading.Lock

    def resolve(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Answer an event by the function that the gateway would call."""
        api = self.world.api if str(event["path"]).startswith(JOBS) else self.texts
        with self.lock:
            return api.resolve(event, FakeContext())

    def work_for_ever(self) -> None:
        """Deliver the messages of jobs, as Lambda does."""
        while True:
            with self.lock:
                moved = [self.world.deliver(step) for step in STEPS]
            if not any(moved):
                time.sleep(REST_S)


@cache
def pipeline() -> Pipeline:
    """Make the pipeline of the fake models, with windows that hold the examples of the page."""
    small = fake.catalog()
    models = {name: model.model_copy(update={"max_tokens": MAX_TOKENS}) for name, model in small.models.items()}
    return replace(fake.pipeline(), catalog=small.model_copy(update={"models": models}))


def make(address_of_buckets: str, texts: Resolver | None = None) -> Apis:
    """Make the API with its pages. `texts` replaces the fake models."""
    page_stores = (address_of_buckets,)
    world, buckets = World(clock=WallClock(), respond=_respond), HttpBuckets(address_of_buckets)
    world.catalog = pipeline().catalog
    world.use(replace(world.effects, objects=buckets))
    found = texts or make_api(pipeline(), FakeReplica(fake.count_ids), OPEN, page_stores=page_stores)
    return Apis(found, world, buckets, threading.Lock())


def _respond(request: TextRequest) -> tuple[Result, Mapping[int, GlossaError]]:
    return pipeline().run_valid_inputs(request, lambda calls: [fake.count_ids(call) for call in calls])
