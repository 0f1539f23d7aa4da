"""Labelled texts are read from each format; a row that cannot be read is named by its line, with the way forward."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glossa.head_training.data.examples import Span
from glossa.head_training.data.read import read_examples

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20).filter(
    lambda text: bool(text.strip())
)
LABEL = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="|"), min_size=1).map(str.strip)


def write(folder: Path, name: str, text: str) -> Path:
    """Write a file and return its path."""
    (folder / name).write_bytes(text.encode())
    return folder / name


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.tuples(TEXT, LABEL.filter(bool)), min_size=1, max_size=6))
def test_what_csv_and_json_lines_hold_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    """Any texts and labels survive both formats, line breaks and quotes included."""
    folder = tmp_path_factory.mktemp("rows")
    with (folder / "a.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([("text", "label"), *rows])
    lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
    path = write(folder, "a.jsonl", "\n".join(lines))
    for found in (read_examples(folder / "a.csv", "text-classification"), read_examples(path, "text-classification")):
        assert [(row.text, row.labels) for row in found.rows] == [(text, (label,)) for text, label in rows]


@pytest.mark.parametrize(
    ("name", "text", "task", "said"),
    [
        ("a.csv", "text,label\na,b\nc\n", "text-classification", "line 3: got 1 fields, expected 2"),
        ("a.csv", 'text,label\n"a\nb",c\n,d\n', "text-classification", "line 4: got '' as text"),
        ("a.csv", "body,label\na,b\n", "text-classification", "--column text=NAME"),
        ("a.csv", "text,label\na,\n", "text-classification", "line 2: got '' as label"),
        ("a.tsv", 'text\tlabel\n"a\tb\n', "text-classification", ""),
        ("a.jsonl", '{"text": "a", "label": "b"}\n\n[1]\n', "text-classification", "line 3: got list"),
        ("a.jsonl", '{"text": "a"\n', "text-classification", "line 1: got no JSON"),
        ("a.jsonl", '{"text": "a", "spans": [[0, 2, "X"]]}', "token-classification", "line 1: got a span from 0 to 2"),
        ("a.jsonl", '{"text": "ab", "spans": [[0, 2, "X"], [1, 2, "Y"]]}', "token-classification", "overlap"),
        ("a.jsonl", '{"tokens": ["a"], "tags": ["X"]}', "token-classification", "expected O, B-NAME or I-NAME"),
        ("a.conll", "a O\nb\n", "token-classification", "line 2: got 'b'"),
        ("a.csv", "query,document,score\na,b,high\n", "rerank", "line 2: got 'high' as score"),
        ("a.csv", "query,document,score\na,b,1e308\n", "rerank", "line 2: got '1e308' as score"),
        (
            "a.jsonl",
            f'{{"query": "a", "document": "b", "score": 1{"0" * 400}}}',
            "rerank",
            "as score, expected a number to 1e+100",
        ),
        ("a.jsonl", '{"text": "\\ud800", "label": "b"}', "text-classification", "half of a surrogate pair"),
        ("a.jsonl", '{"text": "a", "label": "b", "lang": ["en"]}', "text-classification", "got ['en'] as lang"),
        ("a.jsonl", '{"text": "a", "label": "b", "label": "c"}', "text-classification", "got 'label' twice"),
        ("a.csv", "text,label,label\na,b,c\n", "text-classification", "line 1: got 'label' twice"),
        ("a.csv", 'text,label\na,"b\nc"\n', "text-classification", "without control characters"),
        ("a.csv", f"text,label\na,{'b' * 201}\n", "text-classification", "expected at most 200 characters"),
        ("a.csv", "premise,hypothesis,label\na,b,maybe\n", "zero-shot-classification", "begins with 'entail'"),
        ("a.csv", "text,label\n", "text-classification", "without a row"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(tmp_path: Path, name: str, text: str, task: str, said: str) -> None:
    """The message has the line on which the row begins, what came and what was expected."""
    path = write(tmp_path, name, text)
    if not said:  # a quote is a plain character in a TSV
        assert read_examples(path, task).rows[0].text == '"a'
        return
    with pytest.raises(ValueError, match=r"a\.") as error:
        read_examples(path, task)
    assert said in str(error.value)


def test_bytes_that_are_not_utf_8_are_named_by_line(tmp_path: Path) -> None:
    """The line of the first such byte is said."""
    (tmp_path / "a.csv").write_bytes(b"text,label\na,b\n\xff,c\n")
    with pytest.raises(ValueError, match=r"line 3: got a byte that is not UTF-8"):
        read_examples(tmp_path / "a.csv", "text-classification")


def test_other_columns_say_pairs_groups_and_languages(tmp_path: Path) -> None:
    """A pair, a group, a language, several labels, and a column by the caller's name are read."""
    path = write(tmp_path, "a.csv", "body,text_pair,labels,group,lang\na,b,x|y,g,de\nc,d,,h,en\n")
    first, second = read_examples(path, "text-classification", {"text": "body"}).rows
    assert (first.text, first.text_pair, first.labels, first.group, first.lang) == ("a", "b", ("x", "y"), "g", "de")
    assert second.labels == ()


def test_tags_and_spans_say_the_same(tmp_path: Path) -> None:
    """CoNLL, tokens with tags, and spans of a text give the same entities."""
    conll = write(tmp_path, "a.conll", "# text = x\nAnna\tB-PER\nLee\tI-PER\nin\tO\nRome\tB-LOC\n")
    spans = write(tmp_path, "a.jsonl", '{"text": "Anna Lee in Rome", "spans": [[12, 16, "LOC"], [0, 8, "PER"]]}')
    table = write(tmp_path, "a.csv", "tokens,tags\nAnna Lee in Rome,B-PER I-PER O I-LOC\n")
    for path in (conll, spans, table):
        row = read_examples(path, "token-classification").rows[0]
        assert (row.text, row.spans) == ("Anna Lee in Rome", (Span(0, 8, "PER"), Span(12, 16, "LOC")))
