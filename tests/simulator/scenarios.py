"""Scenarios: a job, what is wrong with it, and what people order while it goes on or after its end."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass

from functions.jobs.state import keys
from shared.errors import GlossaError, Unprocessable
from tests.unit.functions.jobs.world import TENANT, World

RECORDS = 7  # of a shard


@dataclass(frozen=True)
class Scenario:
    """One scenario. `orders` come one after the other when the job rests; a schedule may place those in `anytime`.

    With `mortal` a function lives at most 300 s, as on Lambda. Without it, a function may be frozen for any time.
    """

    name: str
    n_records: int
    packed: bool = False
    poisoned: bool = False
    orders: tuple[str, ...] = ()
    anytime: tuple[str, ...] = ()
    mortal: bool = False
    max_records: int = RECORDS
    step_shards: int = 2

    @property
    def texts(self) -> list[str]:
        """The records."""
        return [f"text {i}" for i in range(self.n_records)]

    @property
    def bad(self) -> set[str]:
        """The records that the model refuses until it is fixed: one in a hundred, and always the last."""
        return (
            {f"text {i}" for i in range(99, self.n_records, 100)} | {f"text {self.n_records - 1}"}
            if self.poisoned
            else set()
        )

    @property
    def key(self) -> str:
        """The key of the object."""
        return keys.inbox_key(TENANT, "topics", "in.jsonl.gz" if self.packed else "in.jsonl")

    def poison(self, world: World) -> None:
        """Let the model refuse the bad records."""
        if self.poisoned:
            world.echo.poisons = self.bad
            world.echo.poison_error = self.refusal

    @staticmethod
    def refusal() -> GlossaError:
        """Return the model's error for a bad record."""
        return Unprocessable("got a text that is refused")

    def drop(self, world: World) -> str:
        """Put the object into the inbox; return the id of its job."""
        return world.drop(self.key.rsplit("/", 1)[-1], self._data(self.texts))

    def overwrite(self, world: World) -> None:
        """Put other content over the object."""
        world.objects.put("input", self.key, self._data([text.upper() for text in self.texts]))

    def states(self, came: Callable[[str], bool]) -> set[str]:
        """Return the states in which the job may rest at the end, given the orders that came."""
        if came("delete"):
            return {"DELETED"}
        done = (
            "PARTIALLY_SUCCEEDED"
            if self.poisoned and not ("fix" in self.orders and "redrive" in self.orders)
            else "SUCCEEDED"
        )
        given_up = {"PARTIALLY_SUCCEEDED", "FAILED"}  # shards that died five times; each row is judged by itself
        return {done, *given_up} | ({"CANCELLED"} if came("cancel") else set())

    def _data(self, texts: list[str]) -> bytes:
        data = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
        return gzip.compress(data, mtime=0) if self.packed else data


SMALL = (
    Scenario("one shard", 5),
    Scenario("two shards", 14),
    Scenario("three shards", 20),
    Scenario("three staged shards", 20, packed=True),
    Scenario("poison, fix, redrive, redrive again", 20, poisoned=True, orders=("fix", "redrive", "redrive")),
    Scenario("redrive without a fix", 14, poisoned=True, orders=("redrive",)),
    Scenario("overwritten at any point", 14, anytime=("overwrite",)),
    Scenario("deleted at the end", 14, orders=("delete",), mortal=True),
    Scenario("cancelled at any point", 20, anytime=("cancel",)),
    Scenario("cancelled at any point of a redrive", 14, poisoned=True, orders=("redrive",), anytime=("cancel",)),
    Scenario("redriven at any point", 14, poisoned=True, orders=("fix", "redrive"), anytime=("redrive",)),
)
LARGE = (
    Scenario("large", 400, step_shards=8),
    Scenario("large, poisoned and redriven", 300, poisoned=True, orders=("fix", "redrive", "redrive"), step_shards=8),
    Scenario("large, staged", 300, packed=True, step_shards=8),
    Scenario("large, cancelled somewhere", 300, anytime=("cancel",), step_shards=8),
)
