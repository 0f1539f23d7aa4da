"""Groups labelled tokens into entities, by the rules of the token classification pipeline of transformers.

One rule is added: no entity begins or ends inside a grapheme cluster, which is one character to a person. Pieces of the
vocabulary may. Must not know windows, tensors or requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from functions.tasks.postprocessing.graphemes import Clusters

Vector = Sequence[float]
Join = Callable[[Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class Token:
    """One token and the probability of each label.

    `word` is its piece, `index` its place among all tokens. `subword`: no space is before it. `bound`: it begins
    inside a grapheme cluster.
    """

    word: str
    scores: Vector
    index: int
    start: int
    end: int
    subword: bool
    bound: bool


@dataclass(frozen=True, slots=True)
class Tagged:
    """A token or a word with its label, or an entity with its tag."""

    label: str
    score: float
    word: str
    start: int
    end: int
    bound: bool = False


def entities(
    clusters: Clusters, tokens: Sequence[Token], labels: Sequence[str], strategy: str, join: Join
) -> list[Tagged]:
    """Group the tokens of one text, in order. `strategy` is simple, first, average or max. Takes linear time."""
    tagged = of_tokens(tokens, labels) if strategy == "simple" else of_words(tokens, labels, PICKS[strategy], join)
    return [_entity(clusters, group, join) for group in groups(tagged)]


def best(labels: Sequence[str], scores: Vector) -> tuple[str, float]:
    """Return the likeliest label, or the first of equals, and its probability."""
    score = max(scores)
    return labels[scores.index(score)], score


def of_tokens(tokens: Iterable[Token], labels: Sequence[str]) -> Iterator[Tagged]:
    """Tag each token. A token that begins inside a grapheme cluster continues the tag before it."""
    before: Tagged | None = None
    for token in tokens:
        label, score = best(labels, token.scores)
        if token.bound and before is not None and _opens(label, before.label):
            label = f"I-{tag_of(before.label)}"
            label = label if label in labels else before.label
            score = token.scores[labels.index(label)]
        before = Tagged(label, score, token.word, token.start, token.end, token.bound)
        yield before


def of_words(
    tokens: Iterable[Token], labels: Sequence[str], pick: Callable[[Sequence[Token]], Vector], join: Join
) -> Iterator[Tagged]:
    """Tag each word: a run of tokens with no space between them. `pick` makes its scores of those of its tokens."""
    for word in _words(tokens):
        label, score = best(labels, pick(word))
        yield Tagged(label, score, join([token.word for token in word]), word[0].start, word[-1].end)


def groups(tagged: Iterable[Tagged]) -> Iterator[list[Tagged]]:
    """Yield runs of tokens with one tag. A `B-` label begins a new run."""
    group: list[Tagged] = []
    for token in tagged:
        if group and not token.bound and _opens(token.label, group[-1].label):
            yield group
            group = []
        group.append(token)
    if group:
        yield group


def tag_of(label: str) -> str:
    """Return a label without its `B-` or `I-`."""
    return label[2:] if label.startswith(("B-", "I-")) else label


def without_overlaps(found: Iterable[Tagged]) -> list[Tagged]:
    """Keep the longest of entities that overlap, and the likeliest of equals, as the reference merges windows."""
    kept: list[Tagged] = []
    for entity in sorted(found, key=lambda one: one.start):
        last = kept[-1] if kept else None
        if last is None or not last.start <= entity.start < last.end:
            kept.append(entity)
        elif (entity.end - entity.start, entity.score) > (last.end - last.start, last.score):
            kept[-1] = entity
    return kept


def _words(tokens: Iterable[Token]) -> Iterator[list[Token]]:
    word: list[Token] = []
    for token in tokens:
        if word and not (token.subword or token.bound):
            yield word
            word = []
        word.append(token)
    if word:
        yield word


def _first(word: Sequence[Token]) -> Vector:
    return word[0].scores


def _surest(word: Sequence[Token]) -> Vector:
    return max(word, key=lambda token: max(token.scores)).scores


def _average(word: Sequence[Token]) -> Vector:
    return [sum(column) / len(word) for column in zip(*(token.scores for token in word), strict=True)]


PICKS: Mapping[str, Callable[[Sequence[Token]], Vector]] = {"first": _first, "max": _surest, "average": _average}


def _opens(label: str, before: str) -> bool:
    return tag_of(label) != tag_of(before) or label.startswith("B-")


def _entity(clusters: Clusters, group: Sequence[Tagged], join: Join) -> Tagged:
    start, end = clusters.whole(group[0].start, group[-1].end)
    score = sum(token.score for token in group) / len(group)
    return Tagged(group[0].label.split("-", 1)[-1], score, join([token.word for token in group]), start, end)
