"""The catalog file is edited in place, and stays a valid catalog."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glossa.commands.catalog_file import Value, append, entry_text, rewrite
from shared.catalog import Head, load_catalog, parse_catalog

FACTS: dict[str, Value] = {
    "family": "xlm-roberta", "checkpoint": "x", "weights_sha256": "0" * 64, "tokenizer_sha256": "1" * 64,
    "max_tokens": 16, "vocab_size": 100,
}  # fmt: skip
PROMPTS = {"query": "query: ", 'a "b".c\n': "Instruct: “找”\nQuery: "}
labels = st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=40).map(tuple)


@given(names=labels)
def test_any_labels_survive(names: tuple[str, ...]) -> None:
    """Labels of any characters and any number are read back as they were."""
    head = Head(task="token-classification", prefix='quote"d\\', labels=names, problem_type="regression", default=True)
    text = "default_model = 'a.b'\n" + entry_text("a.b", FACTS, {"h.1": head})
    assert parse_catalog(text).model("a.b").heads == {"h.1": head}


def test_nothing_of_a_head_is_lost() -> None:
    """The other tasks of a head, its variant and what it declares are read back as they were."""
    heads = {
        "classifier": Head(
            task="text-classification", also=("zero-shot-classification", "rerank"), prefix="classifier"
        ),
        "qa": Head(task="question-answering", variant="beam", prefix="qa_outputs"),
        "logit": Head(task="text-classification", variant="linear", prefix="c", pooling="max", activation="identity"),
        "embed": Head(
            task="feature-extraction", pooling="cls", normalize=True, prompts=PROMPTS, default_prompt="query"
        ),
    }
    text = "default_model = 'one'\n" + entry_text("one", FACTS, heads)
    assert parse_catalog(text).model("one").heads == heads


def test_a_model_is_appended_and_the_rest_stays(tmp_path: Path) -> None:
    """Comments and older entries stay above the new entry. The first model becomes the default."""
    path = tmp_path / "catalog.toml"
    append(path, "one", entry_text("one", FACTS, {"e": Head(task="feature-extraction")}))
    path.write_text("# ours\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    append(path, "two", entry_text("two", FACTS, {"e": Head(task="feature-extraction")}))
    assert path.read_text(encoding="utf-8").startswith('# ours\ndefault_model = "one"\n')
    assert list(load_catalog(path).models) == ["one", "two"]


def test_facts_are_rewritten_in_the_right_table(tmp_path: Path) -> None:
    """Only the line of the named model changes, though other models have a line of the same name."""
    path = tmp_path / "catalog.toml"
    for name in ("one", "one.two", "two"):
        append(path, name, entry_text(name, FACTS, {"e": Head(task="feature-extraction")}))
    assert rewrite(path, "one.two", {"weights_sha256": "f" * 64, "max_tokens": 16}) == ["weights_sha256"]
    models = load_catalog(path).models
    assert [models[name].weights_sha256[0] for name in ("one", "one.two", "two")] == ["0", "f", "0"]
    with pytest.raises(ValueError, match="has no table"):
        rewrite(path, "three", {"max_tokens": 1})
    with pytest.raises(ValueError, match="has no line revision"):
        rewrite(path, "two", {"revision": "2"})
