"""The inputs of each task are read, or refused with the bad value and what was expected."""

from __future__ import annotations

import pytest

from functions.messages import TextInput
from functions.tasks.parse import parse_input
from shared.errors import TooLarge, Unprocessable


@pytest.mark.parametrize(
    ("task", "value", "expected"),
    [
        ("text-classification", "a", TextInput("a")),
        ("text-classification", {"text": "a", "text_pair": None}, TextInput("a")),
        ("text-classification", {"text": "a", "lang": "en"}, TextInput("a", lang="en")),
        ("fill-mask", {"text": "a", "text_pair": "b", "lang": ["en", "fr"]}, TextInput("a", "b", (), "en", "fr")),
        ("question-answering", {"question": "q", "context": "c"}, TextInput("q", "c")),
        ("question-answering", {"text": "q", "text_pair": "c"}, TextInput("q", "c")),
        ("question-answering", {"question": "q", "context": "c", "lang": "de"}, TextInput("q", "c", (), "de")),
        ("zero-shot-classification", {"sequences": "a"}, TextInput("a")),
        ("zero-shot-classification", {"sequence": "a"}, TextInput("a")),
        ("multiple-choice", {"prompt": "a", "choices": ["b", "c"]}, TextInput("a", texts=("b", "c"))),
        ("multiple-choice", {"text": "a", "choices": ["b"], "text_pair": None}, TextInput("a", texts=("b",))),
        ("rerank", {"query": "a", "documents": ["b"]}, TextInput("a", texts=("b",))),
        ("rerank", {"query": "a", "texts": ["b"], "lang": ["en", "de"]}, TextInput("a", None, ("b",), "en", "de")),
        ("sentence-similarity", {"source_sentence": "a", "sentences": ["b"]}, TextInput("a", texts=("b",))),
        ("text-generation", {"prompt": "a"}, TextInput("a")),
    ],
)  # fmt: skip
def test_field_names_of_other_servers_are_read(task: str, value: object, expected: TextInput) -> None:
    """The field names of transformers and of other servers are known."""
    assert parse_input(value, "here", task) == expected


@pytest.mark.parametrize(
    ("task", "value", "message"),
    [
        ("question-answering", "q", 'here: got a string, expected an object with "question" and "context"'),
        ("question-answering", {"question": "q"}, 'here: got no "context", expected one'),
        ("question-answering", {"context": "c"}, 'here: got no "question", expected one'),
        ("question-answering", {"question": "q", "context": ""}, "here.context: got an empty text"),
        ("question-answering", {"question": "q", "context": " \n"}, "here.context: got a text of only spaces"),
        (
            "question-answering",
            {"question": "q", "text_pair": "c"},
            "here: unknown field 'text_pair'|got a \"text_pair",
        ),
        ("multiple-choice", {"prompt": "a"}, 'here: got no "choices", expected one'),
        ("multiple-choice", {"prompt": "a", "choices": []}, "here.choices: got an empty list, expected at least one"),
        ("multiple-choice", {"prompt": "a", "choices": "b"}, "here.choices: got a string, expected a list of texts"),
        ("rerank", {"query": "a", "documents": ["b", ""]}, r"here.documents\[1\]: got an empty text"),
        ("rerank", {"query": "a", "documents": ["b", 3]}, r"here.documents\[1\]: got a number, expected a text"),
        ("rerank", {"query": "a", "docs": ["b"]}, 'unknown field \'docs\', expected "query", "documents", "lang"'),
        ("sentence-similarity", "a", 'got a string, expected an object with "source_sentence" and "sentences"'),
        ("text-classification", {"text": "a", "lang": 3}, "here.lang: got 3, expected the name of a language"),
        ("text-classification", {"text": "a", "lang": ""}, "here.lang: got '', expected the name"),
        ("text-classification", {"text": "a", "lang": ["en", "de"]}, "here.lang: got a list of 2, expected one, as a"),
        ("rerank", {"query": "a", "documents": ["b"], "lang": ["en"]}, "here.lang: got a list of 1, expected two"),
        ("token-classification", {"text": "a", "x": None}, "here: unknown field 'x'"),
    ],
)
def test_other_inputs_are_refused_by_name(task: str, value: object, message: str) -> None:
    """A missing, empty or unknown part of an input is named with what was expected."""
    with pytest.raises(Unprocessable, match=message):
        parse_input(value, "here", task)


def test_lists_of_texts_are_bounded() -> None:
    """An input may hold at most 1000 texts to compare."""
    assert len(parse_input({"query": "a", "documents": ["b"] * 1000}, "here", "rerank").texts) == 1000
    with pytest.raises(TooLarge, match=r"here\.documents: got 1001 texts, at most 1000"):
        parse_input({"query": "a", "documents": ["b"] * 1001}, "here", "rerank")


def test_nul_is_refused() -> None:
    """U+0000 is refused with its place, because it is a sign of binary data."""
    with pytest.raises(Unprocessable, match=r"line 1: got a NUL \(U\+0000\) at character 1"):
        parse_input("a\x00b", "line 1", "text-classification")
