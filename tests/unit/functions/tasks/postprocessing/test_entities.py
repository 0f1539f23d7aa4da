"""Entities are grouped as the reference's pipeline groups them, and never divide a grapheme."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.tasks.parse import parse_parameters
from functions.tasks.postprocessing import graphemes
from functions.tasks.postprocessing.entities import Tagged as Entity
from functions.tasks.postprocessing.entities import Token, entities, without_overlaps
from functions.tasks.postprocessing.graphemes import Clusters
from shared.errors import Unprocessable

LABELS = ("O", "B-PER", "I-PER", "LOC")
STRATEGIES = ("simple", "first", "average", "max")


def token(text: str, start: int, end: int, scores: Sequence[float]) -> Token:
    """Make the token of a span, as the assembler makes it."""
    subword = start > 0 and " " not in text[start - 1 : start + 1]
    return Token(text[start:end], list(scores), start, start, end, subword, graphemes.inside(text, start))


def grouped(text: str, cuts: str, scores: Sequence[Sequence[float]], strategy: str) -> list[tuple[str, str]]:
    """Return label and text of each entity. `cuts` is the text with | between tokens."""
    ends = [match.start() - i for i, match in enumerate(re.finditer(r"\||$", cuts))]
    starts = [0, *ends]
    tokens = [token(text, a, b, s) for a, b, s in zip(starts, ends, scores, strict=False)]
    return [(e.label, text[e.start : e.end]) for e in entities(Clusters(text), tokens, LABELS, strategy, "".join)]


PER, INSIDE, PLACE, NONE = (0.1, 0.7, 0.1, 0.1), (0.1, 0.1, 0.7, 0.1), (0.1, 0.0, 0.0, 0.9), (0.6, 0.2, 0.1, 0.1)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("simple", [("PER", "Mi"), ("LOC", "cro"), ("O", "soft"), ("PER", " Inc")]),
        ("first", [("PER", "Microsoft"), ("PER", " Inc")]),
        ("max", [("LOC", "Microsoft"), ("PER", " Inc")]),
        ("average", [("LOC", "Microsoft"), ("PER", " Inc")]),
    ],
)
def test_the_tokens_of_a_word_agree_by_the_strategy(strategy: str, expected: list[tuple[str, str]]) -> None:
    """A word gets the label of its first token, of its surest token, or of the mean. `simple` does not join words."""
    assert grouped("Microsoft Inc", "Mi|cro|soft| Inc", [PER, PLACE, NONE, PER], strategy) == expected


def test_a_grapheme_of_several_tokens_is_never_divided() -> None:
    """If a token begins inside a grapheme, the entity continues, with the score of its own label."""
    text = "กำแพง"
    assert grouped(text, "ก|ำ|แพง", [PER, PLACE, INSIDE], "simple") == [("PER", text)]
    found = entities(Clusters(text), [token(text, 0, 1, PER), token(text, 1, 2, PLACE)], LABELS, "simple", "".join)
    assert found[0].score == pytest.approx((0.7 + 0.0) / 2)


@given(
    text=st.text(st.sampled_from("ab กำัé\u0301स्त👩🏽"), min_size=1, max_size=14),
    data=st.data(),
    strategy=st.sampled_from(STRATEGIES),
)
def test_entities_are_in_order_and_divide_no_grapheme(text: str, data: st.DataObject, strategy: str) -> None:
    """For any tokens and labels, entities are in order, and begin and end between graphemes."""
    cuts = sorted({0, len(text), *data.draw(st.lists(st.integers(0, len(text)), max_size=8))})
    score = st.lists(st.integers(1, 9), min_size=4, max_size=4).map(lambda parts: [p / sum(parts) for p in parts])
    tokens = [token(text, a, b, data.draw(score)) for a, b in pairwise(cuts)]
    found = entities(Clusters(text), tokens, LABELS, strategy, "".join)
    places = [place for entity in found for place in (entity.start, entity.end)]
    assert places == sorted(places)
    assert not any(graphemes.inside(text, place) for place in places)
    assert all(0 <= entity.score <= 1 for entity in found)


def named(labels: Sequence[str], tokens: Sequence[tuple[str, int, int, str]], strategy: str = "simple") -> list[str]:
    """Return the groups of tokens (piece, start, end, label), as `tag start-end`, without the label O."""
    text = "x" * 99
    made = [
        replace(token(text, start, end, [float(label == other) for other in labels]), word=piece, subword=False)
        for piece, start, end, label in tokens
    ]
    found = entities(Clusters(text), made, labels, strategy, "".join, ("O",))
    return [f"{one.label} {one.start}-{one.end}" for one in found]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_label_b_o_is_an_entity_of_type_o(strategy: str) -> None:
    """`ignore_labels` names the label of a token: O is left out, B-O and I-O are not, and they do not join O."""
    labels = ("O", "B-O", "I-O")
    tokens = [("a", 0, 1, "O"), ("b", 2, 3, "B-O"), ("c", 4, 5, "I-O"), ("d", 6, 7, "O"), ("e", 8, 9, "I-O")]
    assert named(labels, tokens, strategy) == ["O 2-5", "O 8-9"]


def test_a_type_that_is_no_label_is_ignored_as_a_type() -> None:
    """PER leaves out what B-PER begins, as in the reference, unless PER is a label of its own."""
    text = "xx"
    for labels, expected in ((("B-PER", "I-PER"), 0), (("B-PER", "PER"), 1)):
        made = [token(text, 0, 2, (1.0, 0.0))]
        assert len(entities(Clusters(text), made, labels, "simple", "".join, ("PER",))) == expected


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_entity_is_without_a_word(strategy: str) -> None:
    """The piece of a space alone, whose span is the next letter, is no entity and ends none."""
    labels = ("O", "B-ORG", "I-ORG", "B-PER")
    lone = [("▁", 0, 1, "B-ORG"), ("軍", 0, 1, "B-ORG"), ("艦", 1, 2, "I-ORG")]
    assert named(labels, lone, strategy) == ["ORG 0-2"]
    last = [("▁Ja", 0, 2, "B-PER"), ("▁", 3, 4, "I-ORG"), ("軍", 3, 4, "O")]
    assert named(labels, last, strategy) == ["PER 0-2"]
    held = [("▁Ja", 0, 2, "B-ORG"), ("▁", 3, 4, "I-ORG"), ("軍", 3, 4, "B-ORG")]
    assert named(labels, held, strategy) == ["ORG 0-2", "ORG 3-4"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_tokens_of_one_character_are_one_entity(strategy: str) -> None:
    """The tokens of a fraction share its span. They never become entities that overlap."""
    labels = ("O", "B-ORG", "I-ORG", "B-PER")
    tokens = [("▁1", 0, 1, "B-ORG"), ("\u2044", 0, 1, "B-PER"), ("2", 0, 1, "B-ORG"), ("x", 1, 2, "O")]
    assert named(labels, tokens, strategy) == ["ORG 0-1"]


def n_calls(work: Callable[[], object]) -> int:
    """Count the calls of Python functions that some work takes, generator steps included."""
    count = 0

    def count_call(frame: object, event: str, arg: object) -> None:
        nonlocal count
        del frame, arg
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(count_call)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("char", ["\u200d", "\u0301", "\U0001f1e9", "\ufdfa\u0301", "a\u0301", "a b"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_steps_are_linear_in_text_and_tokens(char: str, strategy: str) -> None:
    """Twice the text takes at most about twice the steps, also for long graphemes and many tokens of one grapheme."""
    found = []
    for n in (500, 1_000, 2_000):
        text = char * (n // len(char))
        each = [token(text, at, at + 1, (PER, PLACE)[at % 2]) for at in range(len(text)) for _ in range(3)]
        unbound = [replace(one, bound=False, subword=False) for one in each]  # as if each could be an entity
        clusters = Clusters(text)
        found.append(n_calls(partial(entities, clusters, unbound, LABELS, strategy, "".join)))
    assert found[2] <= 2.1 * found[1] <= 4.5 * found[0]
    assert found[2] <= 30 * 3 * 2_000  # a search for the grapheme's end at each token would take over 100


def test_of_entities_that_overlap_the_longest_is_kept() -> None:
    """Of overlapping entities the longest is kept, and of equally long ones the surest."""

    def entity(start: int, end: int, score: float) -> Entity:
        return Entity("PER", score, "", start, end)

    short, long, sure = entity(4, 6, 0.9), entity(3, 9, 0.1), entity(3, 9, 0.5)
    assert without_overlaps([short, long]) == [long]
    assert without_overlaps([long, sure, short]) == [sure]
    assert without_overlaps([short, entity(6, 8, 0.2)]) == [short, entity(6, 8, 0.2)]
    assert without_overlaps([]) == []


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"stride": 4, "aggregation_strategy": "none"}, "parameters.stride: got 4, expected no stride beside"),
        ({"stride": -1}, "parameters.stride: got -1, expected greater than or equal to 0"),
        ({"aggregation_strategy": "best"}, "parameters.aggregation_strategy: got 'best'"),
    ],
)
def test_parameters_the_reference_refuses_are_refused(parameters: dict[str, Any], expected: str) -> None:
    """A stride without groups, a negative stride and an unknown strategy are named with what was expected."""
    with pytest.raises(Unprocessable, match=re.escape(expected)):
        parse_parameters("token-classification", parameters)
