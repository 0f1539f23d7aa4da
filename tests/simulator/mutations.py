"""Planted bugs: each breaks one promise of batch jobs, and the simulator must see it.

A bug wraps an effect, or replaces a step by a subclass of the true one. Nothing is patched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from functions.jobs.state import state_machine
from functions.jobs.state.keys import INDEX
from functions.jobs.state.transactions import Put, Update, Write
from shared.errors import GlossaError
from tests.simulator.broken_steps import (
    DeafWorker,
    EagerRedriver,
    EndFirst,
    ErasesOnce,
    HastySweeper,
    IdleSweeper,
    ManifestFirst,
    Unconditional,
    Undeduplicated,
)
from tests.simulator.effects import Wrapper
from tests.unit.functions.jobs.wiring import Effects
from tests.unit.functions.jobs.world import World

FAR_MS = 10**15
Rewrite = Callable[[Sequence[Write]], Sequence[Sequence[Write]]]


@dataclass(frozen=True)
class Mutation:
    """A planted bug: other effects, other steps, or both. `scenarios` names those that can show it."""

    name: str
    scenarios: tuple[str, ...] = ("three shards",)
    effects: Callable[[Effects, World], Effects] = lambda effects, _: effects
    steps: Callable[[World], object] = lambda _: None


# ---- bugs in what is written


class _Rewriting(Wrapper):
    def __init__(self, real: Any, rewrite: Rewrite) -> None:
        super().__init__(real)
        self._rewrite = rewrite

    def write(self, *writes: Write) -> None:
        for group in self._rewrite(writes):
            self.real.write(*group)


def _writes(rewrite: Rewrite) -> Callable[[Effects, World], Effects]:
    def wrap(effects: Effects, _: World) -> Effects:
        table: Any = _Rewriting(effects.table, rewrite)
        return replace(effects, table=table)

    return wrap


def _each(change: Callable[[Write], Write]) -> Callable[[Effects, World], Effects]:
    return _writes(lambda writes: [[change(write) for write in writes]])


def _of_shard(write: Write) -> bool:
    return write.key.sk.startswith("shard/")


def _of_job(write: Write) -> bool:
    return write.key.sk == "job"


def _ends_shard(write: Write) -> bool:
    return isinstance(write, Update) and _of_shard(write) and write.set.get("state") in {"DONE", "FAILED"}


def _unguarded(*names: str, where: Callable[[Write], bool]) -> Callable[[Write], Write]:
    def change(write: Write) -> Write:
        if isinstance(write, Update) and where(write):
            return replace(write, guards=tuple(guard for guard in write.guards if guard.name not in names))
        return write

    return change


def _split(*, job_first: bool) -> Rewrite:
    def rewrite(writes: Sequence[Write]) -> Sequence[Sequence[Write]]:
        if len(writes) != 2 or not _ends_shard(writes[0]):
            return [writes]
        return [writes[1:], writes[:1]] if job_first else [writes[:1], writes[1:]]

    return rewrite


def _progress_first(writes: Sequence[Write]) -> Sequence[Sequence[Write]]:
    shards = [write for write in writes if isinstance(write, Put) and _of_shard(write)]
    return [[write for write in writes if write not in shards], shards] if shards else [writes]


def _endless(write: Write) -> Write:
    if isinstance(write, Update) and write.set.get("state") == "LEASED":
        return replace(write, set={**write.set, "lease_until_ms": FAR_MS})
    return write


def _unindexed(where: Callable[[Write], bool]) -> Callable[[Write], Write]:
    def change(write: Write) -> Write:
        if isinstance(write, Update) and where(write):
            kept = {name: value for name, value in write.set.items() if name not in INDEX}
            return replace(write, set=kept, remove=INDEX)
        return write

    return change


def _ends_job(write: Write) -> bool:
    return isinstance(write, Update) and _of_job(write) and write.set.get("state") in state_machine.ENDED


def _keep_counts(write: Write) -> Write:
    if isinstance(write, Update) and _of_job(write) and write.add.get("shards_open", 0) > 0 and not write.set:
        return replace(write, add={"shards_open": write.add["shards_open"]})
    return write


# ---- bugs in what is stored


class _Failing412(Wrapper):
    def put_new(self, bucket: str, key: str, data: bytes, **facts: Any) -> bool:
        if not self.real.put_new(bucket, key, data, **facts):
            raise GlossaError("the key is taken")
        return True


class _Overwriting(Wrapper):
    def __init__(self, real: Any, world: World) -> None:
        super().__init__(real)
        self._plain = world.objects

    def put_new(self, bucket: str, key: str, data: bytes, *, metadata: Mapping[str, str], **facts: Any) -> bool:
        if not self.real.put_new(bucket, key, data, metadata=metadata, **facts):
            self._plain.put(bucket, key, data, metadata)
        return True


class _Unpinned(Wrapper):
    def read(self, bucket: str, key: str, **how: Any) -> Iterator[bytes]:
        found: Iterator[bytes] = self.real.read(bucket, key, start=how.get("start", 0), end=how.get("end"))
        return found


class _OneKey(Wrapper):
    def head(self, bucket: str, key: str, version: str = "") -> Any:
        return self.real.head(bucket, re.sub(r"\.r\d+\.jsonl$", ".jsonl", key), version)

    def put_new(self, bucket: str, key: str, data: bytes, **facts: Any) -> Any:
        return self.real.put_new(bucket, re.sub(r"\.r\d+\.jsonl$", ".jsonl", key), data, **facts)


def _objects(kind: Callable[..., Any], *, plain: bool = False) -> Callable[[Effects, World], Effects]:
    return lambda effects, world: replace(effects, objects=kind(effects.objects, *([world] if plain else [])))


def _part_after_the_count(effects: Effects, _: World) -> Effects:
    waiting: list[Callable[[], object]] = []

    class LateObjects(Wrapper):
        def put_new(self, bucket: str, key: str, data: bytes, **facts: Any) -> Any:
            if "/parts/" not in key:
                return self.real.put_new(bucket, key, data, **facts)
            waiting.append(lambda: self.real.put_new(bucket, key, data, **facts))
            return True

    class EarlyTable(Wrapper):
        def write(self, *writes: Write) -> None:
            self.real.write(*writes)
            if any(map(_ends_shard, writes)) and waiting:
                waiting.pop()()

    objects: Any = LateObjects(effects.objects)
    table: Any = EarlyTable(effects.table)
    return replace(effects, objects=objects, table=table)


def _in_place(name: str, kind: Callable[..., Any]) -> Callable[[World], object]:
    def put(world: World) -> None:
        true = getattr(world, name)
        setattr(world, name, kind(**{field: getattr(true, field) for field in true.__dataclass_fields__}))

    return put


REDRIVEN = ("poison, fix, redrive, redrive again", "redrive without a fix", "redriven at any point")
CANCELLED = ("cancelled at any point",)
MUTATIONS = (
    Mutation("drop the fence", effects=_each(_unguarded("attempt", "state", where=_ends_shard))),
    Mutation("a fence without its number", REDRIVEN, _each(_unguarded("attempt", where=_of_shard))),
    Mutation("count outside the transaction, after it", effects=_writes(_split(job_first=False))),
    Mutation("count outside the transaction, before it", effects=_writes(_split(job_first=True))),
    Mutation("manifest before the close", (*CANCELLED, "three shards"), steps=_in_place("finalizer", ManifestFirst)),
    Mutation("end before the manifest", steps=_in_place("finalizer", EndFirst)),
    Mutation("a taken key is a failure", effects=_objects(_Failing412)),
    Mutation("a taken key is written over", effects=_objects(_Overwriting, plain=True)),
    Mutation("count before the part", effects=_part_after_the_count),
    Mutation("leases never end", effects=_each(_endless)),
    Mutation("close without a condition", REDRIVEN, steps=_in_place("finalizer", Unconditional)),
    Mutation("plan progress before its shards", effects=_writes(_progress_first)),
    Mutation("leases not in the index", effects=_each(_unindexed(_of_shard))),
    Mutation("ended jobs not in the index", effects=_each(_unindexed(_ends_job))),
    Mutation("a sweeper that leaves what waits", steps=_in_place("sweeper", HastySweeper)),
    Mutation("a sweeper that does nothing", steps=_in_place("sweeper", IdleSweeper)),
    Mutation("cancel ignored by the count", CANCELLED, _each(_unguarded("state", where=_of_job))),
    Mutation("cancel ignored by the worker", CANCELLED, steps=_in_place("worker", DeafWorker)),
    Mutation("redrive reopens good shards", REDRIVEN, steps=_in_place("planner", EagerRedriver)),
    Mutation("redrive keeps the old counts", REDRIVEN, _each(_keep_counts)),
    Mutation("redriven parts under the old key", REDRIVEN, _objects(_OneKey)),
    Mutation("moves that ignore the generation", REDRIVEN, _each(_unguarded("generation", where=_of_job))),
    Mutation("inputs read in their newest version", ("overwritten at any point",), _objects(_Unpinned)),
    Mutation("each event a job of its own", steps=_in_place("planner", Undeduplicated)),
    Mutation("delete looks once", ("deleted at the end",), steps=_in_place("finalizer", ErasesOnce)),
)
