"""Groups consecutive records into runs, and says how long a run may be. Each run becomes a shard.

Pure and deterministic: the same records and limits give the same runs, wherever planning goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from functions.jobs.records.records import RecordSpan
from shared.catalog import Model

MAX_SHARD_S = 100.0  # the time that answering a shard may take: a third of the work function's timeout
MAX_RECORDS = 256
MIN_CHARS, MAX_CHARS = 4096, 131_072


@dataclass(frozen=True, slots=True)
class ShardLimits:
    """The most that one run holds. A record longer than `max_chars` is in a run of its own."""

    max_records: int = MAX_RECORDS
    max_chars: int = MAX_CHARS


def shard_limits(model: Model, max_records: int = MAX_RECORDS, *, most_tokens: int = MAX_CHARS) -> ShardLimits:
    """Return limits under which the model answers a run within MAX_SHARD_S.

    Counts one token for each character; no script that the models read needs much more. `most_tokens` lowers the limit
    for jobs with large answers.
    """
    return ShardLimits(max_records, int(min(MAX_CHARS, most_tokens, max(MIN_CHARS, model.tokens_per_s * MAX_SHARD_S))))


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive records. `oversize` marks a run of one record that is longer than the limit."""

    spans: tuple[RecordSpan, ...]

    @property
    def start(self) -> int:
        """First byte."""
        return self.spans[0].start

    @property
    def end(self) -> int:
        """One past the last byte."""
        return self.spans[-1].end

    @property
    def line(self) -> int:
        """Number of the first record within its object, from 0."""
        return self.spans[0].index_in_object

    @property
    def oversize(self) -> bool:
        """Whether its one record is too long, so that it need not be read again."""
        return self.spans[0].raw is None


def group_into_runs(spans: Iterable[RecordSpan], limits: ShardLimits) -> Iterator[Run]:
    """Group records, in order and without gaps, into runs within `limits`."""
    held: list[RecordSpan] = []
    chars = 0
    for span in spans:
        alone = span.raw is None
        if held and (alone or len(held) >= limits.max_records or chars + span.n_chars > limits.max_chars):
            yield Run(tuple(held))
            held, chars = [], 0
        if alone:
            yield Run((span,))
            continue
        held.append(span)
        chars += span.n_chars
    if held:
        yield Run(tuple(held))
