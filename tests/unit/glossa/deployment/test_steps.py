"""Checks how facts get into commands, and how commands are shown."""

from __future__ import annotations

import shlex

from hypothesis import given
from hypothesis import strategies as st

from glossa.deployment.steps import Command, fill


def test_what_is_not_known_yet_is_shown_by_its_name() -> None:
    """A dry run shows `<Name>` for a fact that only a real run finds out."""
    command = Command(("kubectl", "--host=${Host}", "two words"), {"KEY": "${Key}"})
    assert command.shown({"Key": "k"}) == "KEY=k kubectl '--host=<Host>' 'two words'"


def test_facts_replace_their_names() -> None:
    """A name may stand anywhere in a word."""
    assert Command(("a${X}b${Y}",), {"E": "${X}"}).filled({"X": "1", "Y": "2"}) == Command(("a1b2",), {"E": "1"})


def test_another_word_stands_for_one_that_nothing_fills() -> None:
    """A word whose fact is not known is replaced; one whose fact is known is not."""
    command = Command(("sam", "A=${A}", "B=${B}"), otherwise={"A=${A}": 'A=""', "B=${B}": "B=0"})
    assert command.filled({"B": "1"}).words == ("sam", 'A=""', "B=1")


@given(st.lists(st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="$\0")), min_size=1))
def test_a_shown_command_can_be_pasted(words: list[str]) -> None:
    """A shell that reads the shown line gets the same words, whatever they hold."""
    assert shlex.split(Command(tuple(words)).shown({})) == words


def test_a_value_is_not_filled_again() -> None:
    """A fact that holds `${X}` itself is text, not another name."""
    assert fill("${A}", {"A": "${B}", "B": "never"}) == "${B}"
