"""The catalog file is edited in place, and stays a valid catalog."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glossa.commands.catalog_file import Value, append, check_free, entry_text, rewrite
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
            task="feature-extraction",
            pooling="cls",
            normalize=True,
            dimensions=3,
            prompts=PROMPTS,
            default_prompt="query",
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


def _catalog(folder: Path) -> Path:
    path = folder / "catalog.toml"
    append(path, "one", entry_text("one", FACTS, {"e": Head(task="feature-extraction")}))
    return path


def test_a_link_to_a_catalog_stays_a_link(tmp_path: Path) -> None:
    """The file that the link names is edited."""
    link = tmp_path / "link.toml"
    link.symlink_to(_catalog(tmp_path))
    append(link, "two", entry_text("two", FACTS, {"e": Head(task="feature-extraction")}))
    assert link.is_symlink()
    assert sorted(load_catalog(tmp_path / "catalog.toml").models) == ["one", "two"]


def test_line_ends_stay_as_they_are(tmp_path: Path) -> None:
    """A file of Windows keeps its line ends, also at the lines of the new entry."""
    path = _catalog(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    append(path, "two", entry_text("two", FACTS, {"e": Head(task="feature-extraction")}))
    assert path.read_bytes().count(b"\n") == path.read_bytes().count(b"\r\n")


def test_two_edits_at_once_are_both_kept(tmp_path: Path) -> None:
    """An edit waits for another one, so that none is lost."""
    path, names = _catalog(tmp_path), [f"m{number}" for number in range(20)]
    with ThreadPoolExecutor(5) as pool:
        list(
            pool.map(
                lambda name: append(path, name, entry_text(name, FACTS, {"e": Head(task="feature-extraction")})), names
            )
        )
    assert sorted(load_catalog(path).models) == sorted([*names, "one"])


def test_a_place_that_is_no_catalog_is_refused(tmp_path: Path) -> None:
    """A folder is named as one, and a file of another encoding as what it is."""
    with pytest.raises(ValueError, match=r"which is a folder; expected a file in it: .*catalog\.toml"):
        append(tmp_path, "one", "")
    (tmp_path / "c.toml").write_bytes(b"\xff\xfea\x00")
    with pytest.raises(ValueError, match="it is not UTF-8"):
        check_free(tmp_path / "c.toml", "one")


def test_models_on_one_line_are_refused_at_once(tmp_path: Path) -> None:
    """TOML takes no further table then; it is said before any work."""
    head = '{task = "feature-extraction"}'
    facts = ", ".join(
        f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}" for key, value in FACTS.items()
    )
    path = tmp_path / "c.toml"
    path.write_text(f'default_model = "a"\nmodels = {{a = {{{facts}, heads = {{e = {head}}}}}}}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"on one line, expected a table \[models.NAME\]"):
        check_free(path, "b")


def test_a_catalog_that_may_not_be_written_stays(tmp_path: Path) -> None:
    """An edit puts a new file in the place of the old one, and asks first whether the old one may be written."""
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    path = _catalog(tmp_path)
    path.chmod(0o444)
    with pytest.raises(ValueError, match="expected a place to write to"):
        rewrite(path, "one", {"max_tokens": 32})
