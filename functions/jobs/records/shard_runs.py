"""Groups frames into runs, each of which becomes a shard, and says how long a run may be.

Pure and deterministic: the same frames and bounds give the same runs, from any checkpoint on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from functions.jobs.records.records import RecordSpan
from shared.catalog import Model

WORK_SHARE_S = 100.0  # a third of the work function's timeout: a shard takes at most this
MAX_RECORDS = 256
MIN_CHARS, MAX_CHARS = 4096, 131_072


@dataclass(frozen=True, slots=True)
class ShardLimits:
    """The most that one run holds. A single record may pass `max_chars`: then it is alone."""

    max_records: int = MAX_RECORDS
    max_chars: int = MAX_CHARS


def bounds_for(model: Model, max_records: int = MAX_RECORDS, *, most_tokens: int = MAX_CHARS) -> ShardLimits:
    """Return bounds under which a run takes at most a third of the worker's time.

    Counts one token a character, which no script of the family exceeds by much. `most_tokens` is for
    jobs whose answers are so large that fewer must do.
    """
    return ShardLimits(max_records, int(min(MAX_CHARS, most_tokens, max(MIN_CHARS, model.tokens_per_s * WORK_SHARE_S))))


@dataclass(frozen=True, slots=True)
class Run:
    """Frames that follow each other; `oversize` marks a run of one frame that is too long to hold."""

    frames: tuple[RecordSpan, ...]

    @property
    def start(self) -> int:
        """First byte."""
        return self.frames[0].start

    @property
    def end(self) -> int:
        """One past the last byte."""
        return self.frames[-1].end

    @property
    def line(self) -> int:
        """Number of the first record in its object, from 0."""
        return self.frames[0].index

    @property
    def oversize(self) -> bool:
        """Whether its one record is known to be too long, so that nobody need read it again."""
        return self.frames[0].raw is None


def runs(frames: Iterable[RecordSpan], bounds: ShardLimits) -> Iterator[Run]:
    """Group frames, in order and without gap, into runs within `bounds`."""
    held: list[RecordSpan] = []
    chars = 0
    for frame in frames:
        alone = frame.raw is None
        if held and (alone or len(held) >= bounds.max_records or chars + frame.n_chars > bounds.max_chars):
            yield Run(tuple(held))
            held, chars = [], 0
        if alone:
            yield Run((frame,))
            continue
        held.append(frame)
        chars += frame.n_chars
    if held:
        yield Run(tuple(held))
