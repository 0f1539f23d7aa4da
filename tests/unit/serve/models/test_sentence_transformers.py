"""What a folder of sentence-transformers declares is read, and what we do not apply is refused by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from serve.checkpoints.files import CheckpointError
from serve.models.checkpoint_facts import checkpoint_facts
from shared.catalog import Head
from tests.checkpoints import draw, write

MODULES = ("Transformer", "Pooling", "Normalize")
CLS = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": False}
MEAN = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": False}

MAX = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": True}


def declare(folder: Path, kinds: Sequence[str] = MODULES, pooling: Mapping[str, object] = CLS, **files: object) -> Path:
    """Write the files of sentence-transformers beside a checkpoint. `files` are further JSON files by name."""
    entries = []
    for i, kind in enumerate(kinds):
        path = f"{i}_{kind}" if i else ""
        (folder / path).mkdir(exist_ok=True)
        entries.append({"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"})
        if kind == "Pooling":
            (folder / path / "config.json").write_text(json.dumps({"word_embedding_dimension": 48, **pooling}))
    (folder / "modules.json").write_text(json.dumps(entries))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a backbone without a head."""
    return write(draw("XLMRobertaModel"), tmp_path_factory.mktemp("plain"))


@pytest.fixture
def folder(plain: Path, tmp_path: Path) -> Path:
    """Return a copy of the backbone's folder."""
    for path in plain.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def embed(folder: Path) -> Head:
    """Return the head of vectors that a folder has."""
    return checkpoint_facts(folder).heads["embed"]


@pytest.mark.parametrize(
    ("pooling", "said"),
    [
        (CLS, "cls"), (MEAN, "mean"), (MAX, "max"),
        ({}, "mean"), ({"pooling_mode": "CLS"}, "cls"), ({"pooling_mode": ["max"]}, "max"),
    ],
)  # fmt: skip
def test_pooling_and_length_are_the_folders(pooling: Mapping[str, object], said: str, folder: Path) -> None:
    """The head takes the pooling of 1_Pooling, and length 1 where 2_Normalize stands."""
    head = embed(declare(folder, pooling=pooling))
    assert (head.pooling, head.normalize, head.also) == (said, True, ("sentence-similarity", "rerank"))
    assert embed(declare(folder, MODULES[:2], pooling)).normalize is False


def test_prompts_and_window_are_the_folders(folder: Path) -> None:
    """Prompts are kept by name, empty ones too; the shorter window is the model's."""
    prompts = {"query": "query: ", "passage": "passage: ", "document": "", "web": None}
    facts = {"prompts": prompts, "default_prompt_name": "query", "similarity_fn_name": "cosine"}
    declare(folder, config_sentence_transformers=facts, sentence_bert_config={"max_seq_length": 128})
    found = checkpoint_facts(folder)
    assert found.max_tokens == 128
    assert found.heads["embed"].prompts == {**prompts, "web": ""}
    assert found.heads["embed"].default_prompt == "query"
    old = declare(folder, **{"sentence_bert_config": {}, "sentence_xlm-roberta_config": {"max_seq_length": 64}})
    (old / "sentence_bert_config.json").unlink()
    assert checkpoint_facts(old).max_tokens == 64
    longer = {"max_seq_length": 9000, "do_lower_case": False}
    assert checkpoint_facts(declare(folder, sentence_bert_config=longer)).max_tokens == 512


def test_vectors_for_dot_products_are_not_compared_by_cosine(folder: Path) -> None:
    """A folder that declares dot products of vectors of any length offers vectors alone, and says so in one line."""
    found = checkpoint_facts(declare(folder, MODULES[:2], config_sentence_transformers={"similarity_fn_name": "dot"}))
    assert found.heads["embed"].also == ()
    assert found.ignored == ("similarity_fn_name dot: texts are compared by cosine alone, so no head does",)
    assert embed(declare(folder)).also  # of length 1 both are one


def test_the_dimensions_that_are_stored_are_the_heads(folder: Path) -> None:
    """Newer versions of sentence-transformers store `truncate_dim` and apply it; more than there are change nothing."""
    for stored, applied in ((4, 4), (10_000, None), (None, None)):
        found = checkpoint_facts(declare(folder, config_sentence_transformers={"truncate_dim": stored}))
        assert found.heads["embed"].dimensions == applied


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"kinds": (*MODULES[:2], "Dense")}, "modules.json has 2_Dense, a module of kind Dense, which is not applied"),
    ({"kinds": ("WordEmbeddings", "Pooling")}, "a module of kind WordEmbeddings"),
    ({"kinds": ("Transformer", "Pooling", "Pooling")}, "has the modules Transformer, Pooling, Pooling"),
    ({"kinds": ("Transformer", "Normalize", "Pooling")}, "has the modules Transformer, Normalize, Pooling"),
    ({"pooling": {**CLS, "pooling_mode_max_tokens": True}}, "has pooling cls and max, expected one of cls, mean, max"),
    ({"pooling": {**CLS, "pooling_mode_cls_token": False}}, "has pooling none"),
    ({"pooling": {**MEAN, "pooling_mode_mean_tokens": False, "pooling_mode_lasttoken": True}}, "has pooling lasttoken"),
    ({"pooling": {"pooling_mode_cls_token": "true"}}, "pooling_mode_cls_token 'true', expected true or false"),
    ({"pooling": {"pooling_mode": "weightedmean"}}, "has pooling weightedmean"),
    ({"sentence_bert_config": {"max_seq_length": 128, "do_lower_case": True}}, "do_lower_case = true"),
    ({"sentence_bert_config": {"max_seq_length": "128"}}, "max_seq_length = '128'"),
    ({"config_sentence_transformers": {"truncate_dim": "64"}}, "truncate_dim = '64', expected a whole number"),
    ({"config_sentence_transformers": {"prompts": {"q": 1}}}, "has prompts {'q': 1}, expected texts by name"),
    ({"config_sentence_transformers": {"prompts": {"q": "q"}, "default_prompt_name": "p"}}, "default_prompt_name 'p'"),
    (
        {"pooling": {**MEAN, "include_prompt": False}, "config_sentence_transformers": {"prompts": {"q": "q: "}}},
        "include_prompt = false",
    ),
]


@pytest.mark.parametrize(("declared", "said"), REFUSED, ids=[said[:30] for _, said in REFUSED])
def test_what_is_not_applied_is_refused_by_name(declared: dict[str, Any], said: str, folder: Path) -> None:
    """A module or a setting that would change vectors is an error that names it."""
    with pytest.raises(CheckpointError) as caught:
        checkpoint_facts(declare(folder, **declared))
    assert said in caught.value.message


def test_modules_of_others_are_never_run(folder: Path) -> None:
    """A module that is not one of sentence-transformers is remote code."""
    declare(folder)
    path = folder / "modules.json"
    path.write_text(path.read_text().replace("sentence_transformers.models.Transformer", "custom_st.Transformer"))
    with pytest.raises(CheckpointError, match=r"remote code \(custom_st.Transformer\), which is never run"):
        checkpoint_facts(folder)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"activation_fn": "torch.nn.modules.linear.Identity"}, "identity"),
        (
            {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}},
            "sigmoid",
        ),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}, "identity"),
        ({}, ""),
    ],
)
def test_a_reranker_keeps_its_activation(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    """Every name under which sentence-transformers writes an activation is read."""
    write(draw("XLMRobertaForSequenceClassification", id2label={0: "LABEL_0"}, **settings), tmp_path)
    assert checkpoint_facts(tmp_path).heads["classifier"].activation == said


def test_an_unknown_activation_is_refused(tmp_path: Path) -> None:
    """An activation that we do not compute is named."""
    write(draw("XLMRobertaForSequenceClassification", activation_fn="torch.nn.modules.activation.Tanh"), tmp_path)
    with pytest.raises(CheckpointError, match=r"has activation_fn 'torch.nn.modules.activation.Tanh', expected one of"):
        checkpoint_facts(tmp_path)


def test_labels_keep_their_order_and_letters(tmp_path: Path) -> None:
    """Labels are in the order of their indices, whatever the order in the file; B-O is one like any other."""
    labels = {2: "I-O", 0: "B-O", 1: "O", 10: "größe/“x”", **{i: f"L{i}" for i in range(3, 10)}}
    write(draw("XLMRobertaForTokenClassification", id2label=labels), tmp_path)
    found = checkpoint_facts(tmp_path).heads["classifier"].labels
    assert found == tuple(labels[i] for i in range(11))
