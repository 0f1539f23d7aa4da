"""Questions from plain text."""

from __future__ import annotations

from checkpoints.mini.finetuning.data import cloze

TEXT = "Marie Curie was born in Warsaw. She studied physics. Later Warsaw named a street after her. It rains."


def test_a_word_that_comes_twice_becomes_a_question() -> None:
    """The answer is in the context, and the sentence that asks is not."""
    [found] = cloze.questions([], [TEXT])
    assert found.context[found.start : found.end] == "Warsaw"
    assert "<mask>" in found.question
    assert "Warsaw" not in found.question
    assert found.question.replace("<mask>", "Warsaw") not in found.context


def test_a_text_without_a_repeated_word_gives_none() -> None:
    """Nor does one of two sentences."""
    assert cloze.questions([["One two. Three four. Five six."], ["Warsaw is. Warsaw was."]], []) == []
