"""Reads and splits the labelled texts, and says which head they make. Must not know tensors or engines."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from glossa.head_training.data.examples import Example, Target
from glossa.head_training.data.read import read_examples
from glossa.head_training.data.split import Split, plain, split
from glossa.head_training.data.tags import tag_names
from glossa.head_training.options import TOKENS, Checked, TrainOptions
from shared.catalog import Head

MIN_ROWS = 10
MAX_LABELS = 1_000
INNER_SHARE = 0.2  # of the training rows, which chooses how long to train
RELEVANT = "relevant"  # the only label of a head that grades pairs
RERANK, ZERO_SHOT = "rerank", "zero-shot-classification"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Rows of all files in one list, with their split. `inner` are those of `split.train` that choose.

    `paths` has the file of each row. `head` is the entry of the catalog, without its place. `sha256` is that of the
    files. Grades are scaled to 0 to 1. `warnings` are lines for people.
    """

    rows: tuple[Example, ...]
    paths: tuple[Path, ...]
    target: Target
    split: Split
    inner: frozenset[int]
    head: Head
    sha256: str
    warnings: tuple[str, ...] = ()


def prepare(options: TrainOptions, checked: Checked) -> Prepared:
    """Read the files and split them. Raises ValueError for bad rows, and for too few rows, labels or groups."""
    found = read_examples(options.data, options.task, options.columns)
    rows, paths = found.rows, [options.data] * len(found.rows)
    digest = hashlib.sha256(options.data.read_bytes())
    if options.held_out is None:
        _check_count(options.data, rows)
        parts = split(rows, options.share, options.seed)
    else:
        others = read_examples(options.held_out, options.task, options.columns)
        if others.target != found.target:
            raise ValueError(f"{options.held_out} has {others.target}, expected {found.target} as in {options.data}")
        digest.update(options.held_out.read_bytes())
        _check_count(options.data, rows)
        _check_apart(options.held_out, rows, others.rows)
        parts = Split(tuple(range(len(rows))), tuple(range(len(rows), len(rows) + len(others.rows))))
        rows, paths = (*rows, *others.rows), [*paths, *[options.held_out] * len(others.rows)]
    labels = _labels(rows, found.target)
    if found.target == "grade":
        rows = _scaled(options.data, rows)
    head = _head(options, checked, labels, found.target)
    inner = _inner([rows[at] for at in parts.train], options.seed)
    chosen = frozenset(parts.train[at] for at in inner)
    warnings = tuple(_warnings(rows, parts, found.target))
    return Prepared(rows, tuple(paths), found.target, parts, chosen, head, digest.hexdigest(), warnings)


def _check_count(path: Path, rows: Sequence[Example]) -> None:
    if len(rows) < MIN_ROWS:
        raise ValueError(
            f"got {len(rows)} rows in {path}, expected at least {MIN_ROWS}; ten for each label are a start"
        )


def _check_apart(path: Path, rows: Sequence[Example], others: Sequence[Example]) -> None:
    """Raise ValueError when a text, a pair or a group is in both files: figures would then be too good."""
    known = {(plain(row.text), plain(row.text_pair or "")) for row in rows}
    same = [row.line for row in others if (plain(row.text), plain(row.text_pair or "")) in known]
    if same:
        raise ValueError(
            f"{path} line {same[0]}: got a text that is also trained on ({len(same)} in all), expected other texts; "
            "take them out of one of the files"
        )
    groups = {row.group for row in rows if row.group}
    shared = [row for row in others if row.group in groups]
    if shared:
        raise ValueError(
            f"{path} line {shared[0].line}: got group {shared[0].group!r}, which is also trained on "
            f"({len(shared)} rows in all), expected other groups; take them out of one of the files, or give them "
            "other names"
        )


def _labels(rows: Sequence[Example], target: Target) -> tuple[str, ...]:
    """Return the labels of the head, those of the data in the order of the alphabet."""
    if target == "grade":
        return (RELEVANT,)
    of_row = ([span.label for span in row.spans] if target == "spans" else row.labels for row in rows)
    found = tuple(sorted({label for labels in of_row for label in labels}))
    least = 1 if target == "spans" else 2
    if not least <= len(found) <= MAX_LABELS:
        raise ValueError(f"got {len(found)} labels in all rows, expected {least} to {MAX_LABELS:,}")
    return tag_names(found) if target == "spans" else found


def _scaled(path: Path, rows: Sequence[Example]) -> tuple[Example, ...]:
    grades = [row.grade for row in rows if row.grade is not None]
    least, most = min(grades), max(grades)
    if least == most:
        raise ValueError(f"got the score {least:g} in every row of {path}, expected at least two different ones")
    return tuple(replace(row, grade=((row.grade or 0.0) - least) / (most - least)) for row in rows)


def _head(options: TrainOptions, checked: Checked, labels: tuple[str, ...], target: Target) -> Head:
    also = {RERANK: (RERANK,), ZERO_SHOT: (ZERO_SHOT,)}.get(options.task, ())
    task = TOKENS if options.task == TOKENS else "text-classification"
    others = [head for name, head in checked.model.heads.items() if name != options.name]
    return Head.model_validate({
        "task": task,
        "also": also,
        "prefix": "classifier",
        "labels": labels,
        "problem_type": "single_label_classification" if target in {"label", "spans"} else "multi_label_classification",
        "default": options.default or not any(head.task == task for head in others),
    })  # fmt: skip


def as_linear(head: Head, name: str) -> Head:
    """Return the head as one of one layer on mean vectors, with the prefix that a heads.json implies."""
    return head.model_copy(update={"variant": "linear", "prefix": f"heads.{name}"})


def _inner(rows: Sequence[Example], seed: int) -> tuple[int, ...]:
    """Return the rows that choose, none when there are too few groups for it."""
    try:
        return split(rows, INNER_SHARE, seed + 1).held_out
    except ValueError:
        return ()


def _warnings(rows: Sequence[Example], parts: Split, target: Target) -> list[str]:
    if target == "grade":
        return []
    counts = (
        [Counter(_of(rows[at], target)) for at in parts.train],
        [Counter(_of(rows[at], target)) for at in parts.held_out],
    )
    train, held = (sum(each, Counter()) for each in counts)
    unseen = [label for label in held if label not in train]
    untested = [label for label in train if label not in held]
    found = [f"label {label!r} is in held-out rows alone, so the head cannot know it" for label in unseen[:3]]
    if untested:
        found.append(f"{len(untested)} labels are in no held-out row, so nothing is measured of them: {untested[:3]}")
    return found


def _of(row: Example, target: Target) -> set[str]:
    return {span.label for span in row.spans} if target == "spans" else set(row.labels)
