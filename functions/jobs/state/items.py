"""The items of the jobs table as frozen values: Job, Listing, Plan, Input, Shard, Recipe.

Pure data and its flat form in the table. No text of a document is ever in an item. Must not
know which changes are allowed: that is the machine's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from functions.jobs.records.formats import FormatOptions, Framing, Output, Problem
from functions.jobs.state.transactions import Item, Value
from functions.jobs.state.webhooks import Webhook


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What to do with each record: a task, its parameters, a model reference, how inputs are read, and rows written."""

    task: str
    model: str | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)
    options: FormatOptions = field(default_factory=FormatOptions)
    output: Output = "jsonl"

    def to_json(self) -> str:
        """Return canonical JSON: equal specs give equal text."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> JobSpec:
        """Rebuild a spec from `to_json`; lists in parameters become tuples again."""
        raw = json.loads(text)
        parameters = {k: tuple(v) if isinstance(v, list) else v for k, v in raw["parameters"].items()}
        options = FormatOptions(**raw["options"])
        return cls(raw["task"], raw["model"], parameters, options, raw.get("output", "jsonl"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job and its counters. Times are epoch milliseconds (`expires_at`: seconds, for the table's TTL).

    `announced`: of how many generations the end was said.
    `n_records`, `n_shards` and `n_problems` (objects that could not be read) are set when planning
    ends. `shards_open` is planned minus ended shards; below zero while planning goes on.
    `generation` counts redrives; `replaces_sha256` is the manifest of the generation before. Of this
    generation: `records_run` counts the records answered in it, `begun_ms` is when the first of their shards
    was claimed, `settled_ms` when the last was counted; 0 while none was.
    """

    tenant: str
    job: str
    state: str
    source: str
    spec: str
    created_ms: int
    expires_at: int
    request_sha256: str = ""
    recipe: str = ""
    names: tuple[str, ...] = ()
    started_ms: int = 0
    closing_ms: int = 0
    finished_ms: int = 0
    n_inputs: int = 0
    n_problems: int = 0
    n_shards: int = 0
    n_records: int = 0
    shards_open: int = 0
    shards_done: int = 0
    shards_failed: int = 0
    records_ok: int = 0
    records_failed: int = 0
    model: str = ""
    head: str = ""
    model_revision: str = ""
    tokenizer_sha256: str = ""
    catalog_sha256: str = ""
    manifest_sha256: str = ""
    generation: int = 0
    redriven_ms: int = 0
    replaces_sha256: str = ""
    code: str = ""
    detail: str = ""
    announced: int = 0
    begun_ms: int = 0
    settled_ms: int = 0
    records_run: int = 0

    @property
    def problem(self) -> Problem | None:
        """Why the job failed, when it did."""
        return Problem(self.code, self.detail) if self.code else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A job's line in its tenant's list, which sorts by time."""

    job: str
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The planner's checkpoint: everything before it is in the table, `unsent` may not be in the queue yet.

    The place: byte `offset` of input `input`, whose next record is number `line` (from 0) of its
    object and `record` of the job. Bounds are pinned here, so that planning twice cuts alike;
    `n_inputs` is -1 until the inputs are pinned. `runs` counts planner runs since the last progress.
    """

    step: int = 0
    runs: int = 0
    n_inputs: int = -1
    input: int = 0
    offset: int = 0
    line: int = 0
    record: int = 0
    n_shards: int = 0
    n_problems: int = 0
    max_records: int = 256
    max_chars: int = 131_072
    unsent: tuple[str, ...] = ()
    code: str = ""
    detail: str = ""
    updated_ms: int = 0
    expires_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One object of a job, pinned by version (or etag where the bucket keeps none)."""

    ordinal: int
    key: str
    etag: str
    size_bytes: int
    version: str = ""
    code: str = ""
    detail: str = ""
    expires_at: int = 0

    @property
    def identity(self) -> str:
        """What tells this content of the key from another."""
        return self.version or self.etag


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A run of records of one object, and the lease on the work of answering them.

    Half-open byte range of the decoded object; the first record is number `line` (from 0) of
    its object and `record` of the job. `attempt` is the fence: it grows with every claim.
    `strikes` counts claims that ended badly. `staged` says that the bytes were staged decoded.
    `generation` is the job's when the shard was last opened; its part belongs to that generation.
    `columns` says where a table has what is read (`Columns`).
    """

    shard: str
    state: str
    input: int
    key: str
    version: str
    etag: str
    start: int
    end: int
    line: int
    record: int
    n_records: int
    framing: Framing
    columns: str = ""
    staged: bool = False
    oversize: bool = False
    attempt: int = 0
    strikes: int = 0
    reason: str = ""
    generation: int = 0
    lease_until_ms: int = 0
    part_sha256: str = ""
    part_bytes: int = 0
    records_ok: int = 0
    records_failed: int = 0
    model_revision: str = ""
    ended_ms: int = 0
    expires_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A named spec: what is done to every object under the recipe's inbox."""

    name: str
    spec: str
    created_ms: int


Entity = Job | Listing | Plan | Input | Shard | Recipe | Webhook
E = TypeVar("E", Job, Listing, Plan, Input, Shard, Recipe, Webhook)


def to_item(entity: Entity) -> Item:
    """Return the attributes of an entity, without its key."""
    return {f.name: _flat(getattr(entity, f.name)) for f in fields(entity)}


def from_item(kind: type[E], item: Mapping[str, Value]) -> E:
    """Rebuild an entity from a table item; attributes it does not know (keys, index) are left out."""
    names = [f.name for f in fields(kind) if f.name in item]
    known = {name: tuple(v) if isinstance(v := item[name], list) else v for name in names}
    return kind(**cast("Any", known))  # the table holds what to_item wrote


def _flat(value: object) -> Value:
    return cast("Value", list(value) if isinstance(value, tuple) else value)


def iso(epoch_ms: int) -> str | None:
    """Return a time as ISO 8601 in UTC with milliseconds; None for 0, which means not yet."""
    if not epoch_ms:
        return None
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
