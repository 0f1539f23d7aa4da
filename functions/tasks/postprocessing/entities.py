"""Groups labelled tokens into entities, by the rules of the token classification pipeline of transformers.

Four rules are added. No entity begins or ends inside a grapheme cluster, which is one character to a person. A word
ends at white space of any kind, not only at a space, and no entity goes on over a line break or a tab. No entity is
without a word, and none overlap. A plain label `O` never joins `B-O` or `I-O`. Must not know windows, tensors or
requests.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from functions.tasks.postprocessing.graphemes import Clusters

OUTSIDE = "O"
PREFIXES = ("B-", "I-")
_SPACE_PIECES = "\u2581 "  # what pieces of a vocabulary write for a space
Vector = Sequence[float]
Join = Callable[[Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class Token:
    """One token and the probability of each label.

    `word` is its piece, `index` its place among all tokens. `subword`: no white space is before it. `bound`: it begins
    inside a grapheme cluster. `breaks`: a line break or a tab is before it.
    """

    word: str
    scores: Vector
    index: int
    start: int
    end: int
    subword: bool
    bound: bool
    breaks: bool = False


@dataclass(frozen=True, slots=True)
class Tagged:
    """A token or a word with its label, or an entity with its tag."""

    label: str
    score: float
    word: str
    start: int
    end: int
    bound: bool = False
    breaks: bool = False


def entities(
    clusters: Clusters,
    tokens: Sequence[Token],
    labels: Sequence[str],
    strategy: str,
    join: Join,
    ignored: Collection[str] = (),
) -> list[Tagged]:
    """Group the tokens of one text, in order. `strategy` is simple, first, average or max. Takes linear time.

    A group is left out when the label of its first token is in `ignored`, or its tag is. A tag that is itself one of
    `labels` is only a label there: `O` leaves out the label `O`, but not a group that `B-O` begins.
    """
    tagged = of_tokens(tokens, labels) if strategy == "simple" else of_words(tokens, labels, PICKS[strategy], join)
    ignored_tags = set(ignored).difference(labels)
    return [
        _entity(clusters, group, join)
        for group in map(_without_empty_end, groups(tagged))
        if group and group[0].label not in ignored and tag_of(group[0].label) not in ignored_tags
    ]


def best(labels: Sequence[str], scores: Vector) -> tuple[str, float]:
    """Return the likeliest label, or the first of equals, and its probability."""
    score = max(scores)
    return labels[scores.index(score)], score


def of_tokens(tokens: Iterable[Token], labels: Sequence[str]) -> Iterator[Tagged]:
    """Tag each token. A token that begins inside a grapheme cluster continues the tag before it."""
    before: Tagged | None = None
    for token in tokens:
        label, score = best(labels, token.scores)
        bound = token.bound or (before is not None and _shares(before, token))
        if bound and before is not None and _opens(label, before.label):
            label = before.label if before.label == OUTSIDE else f"I-{tag_of(before.label)}"
            label = label if label in labels else before.label
            score = token.scores[labels.index(label)]
        before = Tagged(label, score, token.word, token.start, token.end, bound, token.breaks)
        yield before


def of_words(
    tokens: Iterable[Token], labels: Sequence[str], pick: Callable[[Sequence[Token]], Vector], join: Join
) -> Iterator[Tagged]:
    """Tag each word: a run of tokens without white space. `pick` makes its scores of those of its tokens."""
    for word in _words(tokens):
        label, score = best(labels, pick(word))
        text = join([token.word for token in word])
        yield Tagged(label, score, text, word[0].start, word[-1].end, breaks=word[0].breaks)


def groups(tagged: Iterable[Tagged]) -> Iterator[list[Tagged]]:
    """Yield runs of tokens with one tag. A `B-` label, a line break and a tab begin a new run."""
    group: list[Tagged] = []
    for token in tagged:
        if group and not token.bound and (token.breaks or _opens(token.label, group[-1].label)):
            yield group
            group = []
        group.append(token)
    if group:
        yield group


def tag_of(label: str) -> str:
    """Return a label without its `B-` or `I-`."""
    return label[2:] if label.startswith(PREFIXES) else label


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
        if word and not (token.subword or token.bound or _shares(word[-1], token)):
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


def _is_space(piece: str) -> bool:
    """Whether a piece stands for a space alone, as before words in scripts without spaces. Its span is the letter's."""
    return not piece.strip(_SPACE_PIECES)


def _shares(before: Token | Tagged, token: Token) -> bool:
    """Whether two tokens are parts of one character, such as those of a fraction."""
    return token.start < before.end and not _is_space(before.word)


def _opens(label: str, before: str) -> bool:
    if tag_of(label) != tag_of(before) or label.startswith("B-"):
        return True
    return (label == OUTSIDE) != (before == OUTSIDE)  # the tag of B-O and I-O has the same name


def _without_empty_end(group: list[Tagged]) -> list[Tagged]:
    """Return a group without spaces at its end, which cover a letter of the next; nothing when it has no word."""
    n_words = next((len(group) - i for i, token in enumerate(reversed(group)) if not _is_space(token.word)), 0)
    return group[:n_words]


def _entity(clusters: Clusters, group: Sequence[Tagged], join: Join) -> Tagged:
    start, end = clusters.whole(group[0].start, group[-1].end)
    score = sum(token.score for token in group) / len(group)
    return Tagged(group[0].label.split("-", 1)[-1], score, join([token.word for token in group]), start, end)
