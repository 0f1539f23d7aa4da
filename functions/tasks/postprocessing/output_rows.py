"""The types that assemblers read: rows of named tensors for each window, and what surrounds them.

Must not know any one task, nor how tensors come from the model server.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Generic, Literal, TypeVar

from functions.messages import Window
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Head

Vector = list[float]
Answer = Mapping[str, list[Vector]]  # the rows of each named tensor that belong to one window
P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Counted:
    """As many rows as the integers of another output sum to, in one window.

    `name` is that output; it must be read first. One request may have at most `most` rows.
    """

    name: str
    most: float = math.inf


# How many rows of a tensor belong to one window: so many, one for each token or mask of it, or as another output says.
RowsPerWindow = int | Literal["token", "mask"] | Counted


@dataclass(frozen=True, slots=True)
class AnswerContext(Generic[P]):
    """What an assembler may know of the request: its parameters, the head, and how to read ids.

    `mask_token` is the model's, if it has one.
    """

    parameters: P
    head: Head
    tokenizer: Tokenizer
    target_ids: tuple[int, ...] = ()
    mask_token: str | None = None


def read_back(context: AnswerContext[P], ids: Sequence[int], *, skip_special: bool = False) -> str:
    """Return the text of ids. Ids beyond the tokenizer's, which a padded vocabulary allows, are left out."""
    return context.tokenizer.decode([i for i in ids if i < context.tokenizer.vocab_size], skip_special=skip_special)


def by_part(
    windows: Sequence[Window], answers: Sequence[Answer]
) -> Iterator[tuple[tuple[Window, ...], tuple[Answer, ...]]]:
    """Yield the windows of each part of an input, in order, with their answers."""
    for _, pairs in groupby(zip(windows, answers, strict=True), key=lambda pair: pair[0].part):
        mine, theirs = zip(*pairs, strict=True)
        yield mine, theirs
