"""The items of the jobs table as frozen values: Job, Listing, PlanProgress, Input, Shard, Recipe.

Pure. Turns each value into its attributes in the table and back. No item ever holds text of a document. Must not know
which changes are allowed: the job state machine knows that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from functions.jobs.records.formats import DEFAULT_OUTPUT, FormatOptions, Framing, Output, Problem
from functions.jobs.state.transactions import Item, Value
from functions.jobs.state.webhooks import SealedWebhook


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What to do with each record: task, model reference, parameters, how inputs are read, how rows are written."""

    task: str
    model: str | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)
    options: FormatOptions = field(default_factory=FormatOptions)
    output: Output = DEFAULT_OUTPUT

    def to_json(self) -> str:
        """Return canonical JSON. Equal specs give equal text."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> JobSpec:
        """Read the text that `to_json` made. Lists in parameters become tuples again."""
        raw = json.loads(text)
        parameters = {k: tuple(v) if isinstance(v, list) else v for k, v in raw["parameters"].items()}
        options = FormatOptions(**raw["options"])
        return cls(raw["task"], raw["model"], parameters, options, raw.get("output", DEFAULT_OUTPUT))


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job and its counters. Times are epoch milliseconds; `expires_at` is in seconds, for the table's time to live.

    The attributes:
    - `n_records`, `n_shards` and `n_problems` are set when planning ends. `n_problems` counts objects that could not
      be read.
    - `shards_open` is the number of planned shards less the ended ones. It is below zero while planning goes on.
    - `generation` counts redrives. `replaces_sha256` is the digest of the manifest of the generation before.
    - `announced` counts the generations whose end was announced.
    - `source` says where the objects come from: "api" for files that are uploaded, "prefix" for all objects under a
      prefix of the tenant's data, "inbox" for one object in an inbox.
    - `records_run` counts the records answered in this generation.

    The times, each 0 until it comes:
    - `created_ms`: the job was made. `started_ms`: planning began.
    - `closing_ms`: the job left its working states. It went to FINALIZING, CANCELLING or DELETING, or from CREATED to
      CANCELLED.
    - `finished_ms`: it reached SUCCEEDED, PARTIALLY_SUCCEEDED, FAILED or CANCELLED. A redrive sets both back to 0.
    - `redriven_ms`: the last redrive began.
    - `begun_ms`: the first shard that was committed in this generation was claimed. `settled_ms`: the last shard of it
      was committed.
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
        """Why the job failed, if it did."""
        return Problem(self.code, self.detail) if self.code else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A job's entry in its tenant's list, which is sorted by time."""

    job: str
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanProgress:
    """How far the planner came. All shards before this place are in the table.

    Planning goes on at byte `offset` of input `input`. The next record is number `line` of its object and number
    `record` of the job, both from 0. `max_records` and `max_chars` are kept here, so that planning twice gives the same
    shards. `n_inputs` is -1 until the inputs are pinned. `runs` counts the planner's runs since the last progress,
    which was at `updated_ms`. The shards in `unsent` may not be in the queue yet.
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
    max_records: int
    max_chars: int
    unsent: tuple[str, ...] = ()
    code: str = ""
    detail: str = ""
    updated_ms: int = 0
    expires_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One object of a job, pinned by its version, or by its etag where the bucket keeps no versions."""

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
    """Consecutive records of one object, and the lease on the work of answering them.

    The attributes:
    - [start, end) is the byte range in the decoded object. The first record is number `line` of its object and number
      `record` of the job, both from 0.
    - `attempt` is the fencing number, also called the fence: it grows with every claim. `strikes` counts the claims
      that ended badly.
    - `staged` says that the decoded bytes were written to S3. `oversize` says that the one record is too long to read.
    - `generation` is that of the job when the shard was last opened. The shard's part belongs to that generation.
    - `columns` says where a CSV or TSV row has the cells that are read; see `Columns`.
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
    """A named spec. It says what is done to every object in the recipe's inbox."""

    name: str
    spec: str
    created_ms: int


Entity = Job | Listing | PlanProgress | Input | Shard | Recipe | SealedWebhook
E = TypeVar("E", Job, Listing, PlanProgress, Input, Shard, Recipe, SealedWebhook)


def to_item(entity: Entity) -> Item:
    """Return the attributes of an entity, without its key."""
    return {f.name: _flat(getattr(entity, f.name)) for f in fields(entity)}


def from_item(kind: type[E], item: Mapping[str, Value]) -> E:
    """Read an entity from a table item. Other attributes, such as keys and those of the index, are left out."""
    names = [f.name for f in fields(kind) if f.name in item]
    known = {name: tuple(v) if isinstance(v := item[name], list) else v for name in names}
    return kind(**cast("Any", known))  # the item holds what to_item made


def _flat(value: object) -> Value:
    return cast("Value", list(value) if isinstance(value, tuple) else value)


def iso(epoch_ms: int) -> str | None:
    """Return a time as ISO 8601 in UTC with milliseconds. Returns None for 0, which means that it has not come yet."""
    if not epoch_ms:
        return None
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
