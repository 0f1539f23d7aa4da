"""Holds a part of labelled texts out: whole groups, chosen by a seed, with every label on both sides where it can be.

Rows with the same text, or with the same group, never end up on both sides. Must not know models.
"""

from __future__ import annotations

import random
import unicodedata
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from glossa.head_training.data.examples import Example

LARGEST_GROUP = 0.5  # share of all rows that one group may have


@dataclass(frozen=True, slots=True)
class Split:
    """Indices of rows, in order: those that are trained on, and those that are held out."""

    train: tuple[int, ...]
    held_out: tuple[int, ...]


def split(rows: Sequence[Example], share: float, seed: int) -> Split:
    """Hold about `share` of the rows out. The same rows, share and seed give the same split.

    Each label with at least two groups has one on both sides. Raises ValueError when too few groups are there.
    """
    groups = group_rows(rows)
    if max(map(len, groups)) > LARGEST_GROUP * len(rows) or len(groups) < 2:  # noqa: PLR2004 - one for each side
        raise ValueError(
            f"got {len(rows)} rows in {len(groups)} groups, the largest of {max(map(len, groups))}, expected smaller "
            "ones: rows with the same text or group stay together; give other groups, or --held-out FILE"
        )
    strata: dict[Hashable, list[list[int]]] = defaultdict(list)
    for group in groups:
        strata[stratum(rows[group[0]])].append(group)
    draw = random.Random(seed)  # noqa: S311 - not for secrets
    held: list[int] = []
    carried = 0.0  # what rounding owes to the strata that follow
    for key in sorted(strata, key=repr):
        chosen = strata[key]
        draw.shuffle(chosen)
        wanted = share * sum(map(len, chosen)) + carried
        taken = 0
        for place, group in enumerate(chosen):
            is_last = place == len(chosen) - 1
            must = place == 0 and len(chosen) > 1 and not isinstance(key, float)
            if is_last or not (must or taken + len(group) / 2 <= wanted):
                break
            held += group
            taken += len(group)
        carried = wanted - taken
    if not held:
        held = strata[min(strata, key=repr)][0]
    out = set(held)
    return Split(tuple(i for i in range(len(rows)) if i not in out), tuple(sorted(out)))


def group_rows(rows: Sequence[Example]) -> list[list[int]]:
    """Return the indices of rows that must stay together, each index in one group, in the order of the file."""
    parents = list(range(len(rows)))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    first: dict[Hashable, int] = {}
    for index, row in enumerate(rows):
        for key in _keys(row):
            other = first.setdefault(key, index)
            parents[root(index)] = root(other)
    groups: dict[int, list[int]] = defaultdict(list)
    for index in range(len(rows)):
        groups[root(index)].append(index)
    return list(groups.values())


def stratum(row: Example) -> Hashable:
    """Return what is spread over both sides: the first label, or the kinds of entities."""
    if row.spans:
        return tuple(sorted({span.label for span in row.spans}))
    return row.labels[0] if row.labels else ""


def _keys(row: Example) -> Iterable[Hashable]:
    """Yield what a row shares with those that must stay on its side. Of a pair, the first text decides."""
    yield ("text", plain(row.text))
    if row.group:
        yield ("group", row.group)


def plain(text: str) -> str:
    """Return a text without what makes two copies of it differ: case, width of characters, white space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
