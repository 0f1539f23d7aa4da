"""Turns the tags of tokens into entities, and entities into a label for each token of a model.

Must not know files or models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from glossa.head_training.data.examples import RowError, Span

OUTSIDE = "O"
BEGINS, GOES_ON = "B-", "I-"
Offsets = tuple[int, int]


def spans_of_tags(tokens: Sequence[str], tags: Sequence[str]) -> tuple[str, tuple[Span, ...]]:
    """Return the tokens as one text, with a space between them, and its entities.

    Tags are those of IOB2 (`B-PER`, `I-PER`, `O`). An `I-` that continues nothing begins an entity, as in seqeval.
    Raises RowError for any other tag, and when there is not one tag for each token.
    """
    if len(tokens) != len(tags):
        raise RowError(f"got {len(tokens)} tokens and {len(tags)} tags, expected one tag for each token")
    if not tokens:
        raise RowError("got no tokens, expected at least one")
    spans: list[Span] = []
    at, is_open = 0, False
    for token, tag in zip(tokens, tags, strict=True):
        end = at + len(token)
        label = tag[len(BEGINS) :]
        if tag == OUTSIDE:
            is_open = False
        elif not label or tag[: len(BEGINS)] not in {BEGINS, GOES_ON}:
            raise RowError(f"got tag {tag!r}, expected O, B-NAME or I-NAME")
        elif tag.startswith(GOES_ON) and is_open and spans[-1].label == label:
            spans[-1] = Span(spans[-1].start, end, label)
        else:
            spans.append(Span(at, end, label))
            is_open = True
        at = end + 1
    return " ".join(tokens), tuple(spans)


def check_spans(text: str, spans: Sequence[Span]) -> tuple[Span, ...]:
    """Return the entities of a text in order. Raises RowError for one that is empty, outside, or overlaps another."""
    ordered = sorted(spans, key=lambda span: span.start)
    end = 0
    for span in ordered:
        if not 0 <= span.start < span.end <= len(text):
            raise RowError(
                f"got a span from {span.start} to {span.end}, expected 0 <= start < end <= {len(text)}; "
                "they count the code points of the text, and end is not part of it"
            )
        if span.start < end:
            raise RowError(f"got two spans that overlap at {span.start}, expected one label for each character")
        end = span.end
    return tuple(ordered)


def tag_names(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels of a head that finds these entities: O, then B- and I- of each."""
    return (OUTSIDE, *(prefix + label for label in labels for prefix in (BEGINS, GOES_ON)))


def token_labels(
    offsets: Sequence[Offsets], special: Sequence[bool], spans: Sequence[Span], index: Mapping[str, int]
) -> list[int]:
    """Return the index of each token's tag, -1 for special tokens.

    A token belongs to the entity that holds its first code point which is no space before the entity. The first token
    of an entity begins it, also when a window begins amid the entity: the tag is then `I-`.
    """
    found: list[int] = []
    begun: set[Span] = {span for span in spans if offsets and _first(offsets, special) > span.start}
    for (start, end), is_special in zip(offsets, special, strict=True):
        if is_special:
            found.append(-1)
            continue
        inside = next((span for span in spans if start < span.end and end > span.start), None)
        if inside is None or end == start:
            found.append(index[OUTSIDE])
            continue
        found.append(index[(GOES_ON if inside in begun else BEGINS) + inside.label])
        begun.add(inside)
    return found


def _first(offsets: Sequence[Offsets], special: Sequence[bool]) -> int:
    return next((start for (start, _), skipped in zip(offsets, special, strict=True) if not skipped), 0)
