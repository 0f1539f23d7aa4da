"""A split keeps groups together, is the same for a seed, and has every label on both sides where it can."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glossa.head_training.data.examples import Example
from glossa.head_training.data.split import plain, split

ROW = st.tuples(st.integers(0, 30), st.sampled_from("abc"), st.sampled_from(["", "", "", "g", "h"]))


def rows_of(facts: list[tuple[int, str, str]]) -> list[Example]:
    """Make rows: a text of each number, spelled in two ways, with a label and perhaps a group."""
    return [
        Example(line, f"Text {number}" if line % 2 else f" text  {number} ", labels=(label,), group=group)
        for line, (number, label, group) in enumerate(facts)
    ]


@given(facts=st.lists(ROW, min_size=12, max_size=60), seed=st.integers(0, 5))
def test_no_text_and_no_group_is_on_both_sides(facts: list[tuple[int, str, str]], seed: int) -> None:
    """Each row is on one side, and rows that share a text or a group are on the same."""
    rows = rows_of(facts)
    try:
        found = split(rows, 0.25, seed)
    except ValueError as error:
        assert "groups" in str(error)  # noqa: PT017 - drawn rows may all be one group
        return
    assert sorted([*found.train, *found.held_out]) == list(range(len(rows)))
    assert found.train
    assert found.held_out
    for key in (lambda row: plain(row.text), lambda row: row.group or None):
        sides = [{key(rows[at]) for at in side} - {None} for side in (found.train, found.held_out)]
        assert not sides[0] & sides[1]
    assert split(rows, 0.25, seed) == found


def test_each_label_is_on_both_sides_and_the_share_is_kept() -> None:
    """A rare label with two texts has one on each side; about the asked part of all rows is held out."""
    rows = rows_of([(number, "rare" if number < 2 else "ab"[number % 2], "") for number in range(200)])
    found = split(rows, 0.2, 0)
    assert len(found.held_out) == pytest.approx(40, abs=3)
    for side in (found.train, found.held_out):
        assert {rows[at].labels[0] for at in side} == {"rare", "a", "b"}
    assert split(rows, 0.2, 1) != found
