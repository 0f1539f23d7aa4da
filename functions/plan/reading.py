"""An input's bytes -> runs of records, from the planner's checkpoint on; problems of whole objects end here.

Plain objects are read by range. Compressed ones are decoded from their beginning, and the
decoded bytes of each shard are staged, because nobody can read a range of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from functions.batch import keys
from functions.batch.doors import Doors
from functions.batch.formats import Format, FormatOptions, Framing, ObjectProblem, check_head, format_of
from functions.batch.gunzip import gunzip
from functions.batch.items import Input, Job, Plan, Shard
from functions.batch.records import Place, cut
from functions.batch.sharding import Bounds, Run, runs
from shared.errors import Conflict, NotFound

MAX_OBJECT_BYTES = 5 << 30


@dataclass(frozen=True, slots=True)
class Found:
    """The runs of the rest of an input, how its records are framed, and whether they must be staged."""

    runs: Iterator[Run]
    framing: Framing
    staged: bool


def read_runs(source: Input, plan: Plan, options: FormatOptions, doors: Doors) -> Found:
    """Open an input at the checkpoint. Raises ObjectProblem, here or while the runs are taken."""
    if source.size_bytes > MAX_OBJECT_BYTES:
        raise ObjectProblem("too-large", f"got an object of {source.size_bytes} bytes, at most {MAX_OBJECT_BYTES}")
    how = format_of(source.key.rsplit("/", 1)[-1], options)
    chunks = _translated(_decoded(source, plan.offset, how, doors))
    if plan.offset == 0:
        chunks = _checked(chunks)
    frames = cut(chunks, how.framing, Place(plan.offset, plan.line))
    return Found(runs(frames, Bounds(plan.max_records, plan.max_chars)), how.framing, how.gzip)


def stage(job: Job, shard: Shard, run: Run, doors: Doors) -> None:
    """Keep the decoded bytes of a run where its worker can read them. Written before: the same bytes."""
    if run.oversize:
        return
    data = b"".join(frame.raw or b"" for frame in run.frames)
    key = keys.staged_key(job.tenant, job.job, shard.shard)
    digest = hashlib.sha256(data).hexdigest()
    doors.objects.put_new(
        doors.output_bucket, key, data, content_type="application/octet-stream", metadata={"sha256": digest}
    )


def _decoded(source: Input, offset: int, how: Format, doors: Doors) -> Iterator[bytes]:
    bucket = doors.input_bucket
    if not how.gzip:
        return doors.objects.read(bucket, source.key, version=source.version, etag=source.etag, start=offset)
    packed = doors.objects.read(bucket, source.key, version=source.version, etag=source.etag)
    return _skip(gunzip(packed, MAX_OBJECT_BYTES), offset)


def _skip(chunks: Iterable[bytes], n_bytes: int) -> Iterator[bytes]:
    for chunk in chunks:
        if len(chunk) > n_bytes:
            yield chunk[n_bytes:]
        n_bytes = max(0, n_bytes - len(chunk))


def _checked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    head = next(chunks, b"")
    check_head(head)
    return chain((head,), chunks)


def _translated(chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from chunks
    except NotFound:
        raise ObjectProblem("not-found", "the object was deleted before it was read") from None
    except Conflict as error:
        raise ObjectProblem("changed", error.message) from None
