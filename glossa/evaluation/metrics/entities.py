"""F1 over entities, by the two rules of seqeval: strict IOB2, and the rule of the script of CoNLL 2000.

Strict: an entity begins with B-X and goes on with I-X, and nothing else is one. CoNLL: an I-X that follows no entity of
its type begins one too. Sources: Tjong Kim Sang & Buchholz 2000; seqeval 1.2.2. Must not know words or models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

PERCENT = 100.0
OUTSIDE = "O"
Entity = tuple[int, int, str]  # first word, the word after the last, type
Entities = Callable[[Sequence[str]], Iterator[Entity]]


def strict_entities(tags: Sequence[str]) -> Iterator[Entity]:
    """Yield the entities of one sentence in strict IOB2: each run B-X I-X …, and no other I- tag."""
    at = 0
    while at < len(tags):
        prefix, kind = _split(tags[at])
        end = at + 1
        if prefix == "B":
            while end < len(tags) and tags[end] == f"I-{kind}":
                end += 1
            yield at, end, kind
        at = end


def conll_entities(tags: Sequence[str]) -> Iterator[Entity]:
    """Yield the entities of one sentence by the rule of CoNLL: an I-X after another type, or after O, begins one."""
    begun, before = 0, ""
    for at, tag in enumerate([*tags, OUTSIDE]):
        prefix, kind = _split(tag)
        if before and (prefix != "I" or kind != before):
            yield begun, at, before
            before = ""
        if prefix != OUTSIDE and not before:
            begun, before = at, kind


def f1(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], entities: Entities) -> float:
    """Return the micro F1 over the entities of all sentences in percent; 0 when there is no hit.

    Raises ValueError when sentences or their words differ in number.
    """
    n_hits = n_gold = n_given = 0
    for right, given in zip(gold, predicted, strict=True):
        if len(right) != len(given):
            raise ValueError(f"got {len(given)} tags for a sentence of {len(right)} words, expected as many")
        ours, theirs = set(entities(given)), set(entities(right))
        n_hits += len(ours & theirs)
        n_gold, n_given = n_gold + len(theirs), n_given + len(ours)
    return PERCENT * 2 * n_hits / (n_gold + n_given) if n_hits else 0.0


def _split(tag: str) -> tuple[str, str]:
    prefix, _, kind = tag.partition("-")
    return prefix, kind
