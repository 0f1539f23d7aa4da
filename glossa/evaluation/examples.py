"""Examples of a data set: what is asked of a model, and the right answer. Data, and the digest of a set of them.

Must not know file formats, models or metrics.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import TypeVar

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text, or a pair of texts, with its label."""

    text: str
    label: str
    pair: str | None = None


@dataclass(frozen=True, slots=True)
class Tagged:
    """A sentence with one IOB2 tag for each word. `spans` are the places of the words in `text`, in code points.

    A word that is not in the text has an empty span.
    """

    text: str
    spans: tuple[Span, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a context, with the answers that count as right."""

    question: str
    context: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """A text with several choices. `right` is the index of the one that fits."""

    text: str
    choices: tuple[str, ...]
    right: int


@dataclass(frozen=True, slots=True)
class Translation:
    """A sentence and its translation, which is to be found among those of the whole set."""

    text: str
    translation: str


@dataclass(frozen=True, slots=True)
class Graded:
    """Two sentences, and how alike people found them."""

    first: str
    second: str
    grade: float


Example = Labelled | Tagged | Question | Choice | Translation | Graded
E = TypeVar("E", bound=Example)


@dataclass(frozen=True, slots=True)
class LanguageData:
    """The examples of one language, by the name that the data set has for it."""

    lang: str
    examples: tuple[Example, ...]

    @property
    def digest(self) -> str:
        """The sha256 of all examples in order."""
        values = [[type(example).__name__, *astuple(example)] for example in self.examples]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def only(kind: type[E], examples: Sequence[Example]) -> list[E]:
    """Return examples that are all of one kind. Raises TypeError for another one, which is a bug."""
    found: list[E] = [example for example in examples if isinstance(example, kind)]
    if len(found) != len(examples):
        raise TypeError(f"got other examples than {kind.__name__}")
    return found
