"""What the tasks answer, as typed values. Offsets count the Unicode code points of the text, and the end is outside.

Must not know HTTP, nor how an answer is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar, overload

T = TypeVar("T")
Vector: TypeAlias = list[float]


@dataclass(frozen=True)
class Result(Sequence[T], Generic[T]):
    """The answers to one request, one for each input, in their order. It is a sequence of them.

    `n_tokens`, `n_windows` and `truncated` follow the order of the inputs, too. `timings_ms` are the milliseconds of
    each stage. `request_id` names the request in the logs of the service.

        result = client.text_classification(["The team won.", "Prices rise."])
        for labels in result:
            print(labels[0].label, labels[0].score)
        print(result.model, result.n_tokens)
    """

    values: Sequence[T]
    model: str
    head: str
    n_tokens: Sequence[int] = ()
    n_windows: Sequence[int] = ()
    truncated: Sequence[bool] = ()
    timings_ms: dict[str, float] = field(default_factory=dict)
    request_id: str = ""

    def __len__(self) -> int:
        """Return the number of answers."""
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        """Return the answer to one input, or to several."""
        return self.values[index]

    @property
    def only(self) -> T:
        """The answer to the only input. Raises ValueError when there were several."""
        if len(self.values) != 1:
            raise ValueError(f"got answers to {len(self.values)} inputs, expected one input; iterate over the result")
        return self.values[0]


@dataclass(frozen=True, slots=True)
class Label:
    """A label with its score."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Entity:
    """A span of the text with its label: `text[start:end]`. `index` is the token's place, if nothing is grouped."""

    label: str
    score: float
    word: str
    start: int
    end: int
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A span of the context that answers the question, `context[start:end]`; all empty for no answer."""

    answer: str
    score: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class FilledMask:
    """A token in place of a mask. `sequence` is the text with it. `piece` says as what a target was scored."""

    token_str: str
    score: float
    token: int
    sequence: str
    piece: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the choices of an input, its place among them, and the probability that it fits."""

    choice: str
    score: float
    index: int


@dataclass(frozen=True, slots=True)
class RankedDocument:
    """A document by its place among those of the input. Its text is there if it was asked for."""

    index: int
    score: float
    document: str | None = None


@dataclass(frozen=True, slots=True)
class TokenWeight:
    """A token of a text and its weight, from a sparse head."""

    token: str
    weight: float
    token_id: int


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one input. `offsets` has the span of each in the text. `n_windows` is None for a text too long."""

    ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]
    special_tokens_mask: list[int]
    token_type_ids: list[int]
    n_windows: int | None


@dataclass(frozen=True, slots=True)
class Head:
    """A head of a model: the tasks it does, and its labels. The default head answers when none is named."""

    tasks: tuple[str, ...]
    labels: tuple[str, ...]
    default: bool


@dataclass(frozen=True, slots=True)
class Model:
    """A model that is served, and its heads by name. `languages` says in words what it was trained on."""

    name: str
    revision: str
    family: str
    max_tokens: int
    languages: str
    heads: dict[str, Head]


@dataclass(frozen=True, slots=True)
class Models:
    """The models that are served. `defaults` has, for each task, the `model:head` that answers when none is named."""

    models: tuple[Model, ...]
    defaults: dict[str, str]
