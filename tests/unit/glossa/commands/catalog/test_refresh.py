"""`glossa catalog refresh` rewrites what files decide, and refuses while a folder says otherwise than the catalog."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glossa.cli import main
from glossa.commands.catalog.add import add
from glossa.commands.catalog.options import EntryOptions
from glossa.commands.catalog.refresh import refresh
from serve.checkpoints.read import CheckpointError
from shared.catalog import load_catalog
from tests.layouts import declare_vectors
from tests.unit.functions.tokenizers import tiny


@pytest.fixture
def own(catalog_path: Path, tmp_path: Path) -> Path:
    """Copy the catalog and its checkpoints, so that a test may change both."""
    shutil.copytree(catalog_path.parent / "models", tmp_path / "models")
    shutil.copy(catalog_path, tmp_path / "catalog.toml")
    return tmp_path / "catalog.toml"


def change_config(folder: Path, **settings: Any) -> None:
    """Change settings of a config.json in place."""
    said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(said | settings), encoding="utf-8")


def with_labels(*labels: str) -> Callable[[Path], object]:
    """Return what trains a classifier with these labels in place."""
    named = {"id2label": dict(enumerate(labels)), "label2id": {label: at for at, label in enumerate(labels)}}
    return lambda folder: change_config(folder, **named)


def retrained(kind: str, *labels: str) -> Callable[[Path], object]:
    """Return what trains another head, or other labels, into the folder."""
    return lambda folder: tiny.write_checkpoint(folder, kind, labels or tiny.LABELS)


CHANGES: list[tuple[Callable[[Path], object], str]] = [
    (
        with_labels("mad", "glad", "sad"),
        "heads.classifier.labels: the catalog has sad, glad, mad, the folder mad, glad, sad",
    ),
    (
        lambda folder: change_config(folder, problem_type="multi_label_classification"),
        "heads.classifier.problem_type: the catalog has 'single_label_classification', the folder 'multi_label",
    ),
    (retrained("sequence", "a", "b"), "heads.classifier.labels: the catalog has sad, glad, mad, the folder a, b"),
    (
        retrained("tokens", "sad", "glad", "mad"),
        "heads.classifier.task: the catalog has 'text-classification', the folder 'token-classification'",
    ),
    (retrained("mlm"), "heads.classifier: the catalog has it (text-classification), the folder does not"),
    (
        lambda folder: change_config(folder, eos_token_id=3),
        "eos_id: the catalog has 2, the folder 3",
    ),
]


@pytest.mark.parametrize(
    ("change", "line"), CHANGES, ids=["order", "multi-label", "number", "type", "gone", "special id"]
)
def test_a_folder_that_says_otherwise_is_shown_and_not_taken(
    own: Path, change: Callable[[Path], object], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a retrain in place each fact that differs is a line, the exit code is 2, and nothing is written."""
    before = own.read_bytes()
    change(own.parent / "models" / "moods")
    assert main(["catalog", "refresh", "moods", "--no-measure", "--catalog", str(own)]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert "glossa catalog refresh moods --accept" in said
    assert own.read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [CHANGES[0][0], CHANGES[1][0], CHANGES[2][0], CHANGES[4][0]],
    ids=["order", "multi-label", "number", "gone"],
)
def test_what_is_accepted_is_what_adding_writes(own: Path, change: Callable[[Path], object]) -> None:
    """With --accept the entry is that of a new model, and a second refresh has nothing to do."""
    folder = own.parent / "models" / "moods"
    change(folder)
    refresh(own, "moods", measure=False, taken="folder")
    model = load_catalog(own).model("moods")
    anew = own.with_name("anew.toml")
    add(anew, str(folder), EntryOptions("moods", tokens_per_s=model.tokens_per_s))
    assert load_catalog(anew).model("moods") == model
    assert refresh(own, "moods", measure=False) == []


def test_what_a_folder_declares_of_vectors_and_scores_is_compared(own: Path) -> None:
    """Pooling, length, prompts and activation are differences, and --accept writes each of them."""
    folder = own.parent / "models" / "moods"
    declare_vectors(folder, "cls", normalize=True)
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts), encoding="utf-8")
    change_config(folder, sentence_transformers={"activation_fn": "torch.nn.modules.activation.Sigmoid"})
    with pytest.raises(CheckpointError) as refused:
        refresh(own, "moods", measure=False)
    shown = [line.strip().partition(":")[0] for line in refused.value.message.splitlines()[1:]]
    facts = ("embed.pooling", "embed.normalize", "embed.prompts", "embed.default_prompt")
    assert shown == ["heads.classifier.activation", *(f"heads.{fact}" for fact in facts)]
    refresh(own, "moods", measure=False, taken="folder")
    heads = load_catalog(own).model("moods").heads
    assert (heads["embed"].pooling, heads["embed"].default_prompt) == ("cls", "query")
    assert heads["classifier"].activation == "sigmoid"
    prompts["prompts"] = {"query": "query: ", "document": ""}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts), encoding="utf-8")
    refresh(own, "moods", measure=False)  # a prompt without a text is no difference


def test_what_people_wrote_stays(own: Path) -> None:
    """Budgets, replicas, languages, a default head, comments and other models stay, also when the folder is taken."""
    people = own.read_text(encoding="utf-8").partition("[models.people]")[2]
    own.write_text(
        own.read_text(encoding="utf-8").replace(
            "pad_id = 1\n", 'pad_id = 1 # ours\ntoken_budget = 128\nlanguages = "many"\nreplicas = { max = 3 }\n', 1
        ),
        encoding="utf-8",
    )
    with_labels("mad", "glad", "sad")(own.parent / "models" / "moods")
    refresh(own, "moods", measure=False, taken="folder")
    model = load_catalog(own).model("moods")
    assert (model.token_budget, model.languages, model.replicas.max) == (128, "many", 3)
    assert model.heads["classifier"].labels == ("mad", "glad", "sad")
    assert model.heads["classifier"].default
    text = own.read_text(encoding="utf-8")
    assert "pad_id = 1 # ours" in text
    assert text.partition("[models.people]")[2] == people


def test_a_smaller_window_and_fewer_heads_are_a_choice(own: Path) -> None:
    """While config.json is the same, what somebody narrowed by hand is no difference, and stays."""
    text = own.read_text(encoding="utf-8").replace("max_tokens = 64", "max_tokens = 32", 1)
    start = text.index("[models.moods.heads.embed]")
    own.write_text(text[:start] + text[text.index("[models.people]") :], encoding="utf-8")
    assert refresh(own, "moods", measure=False) == []
    change_config(own.parent / "models" / "moods", hidden_dropout_prob=0.0)
    with pytest.raises(CheckpointError, match=r"(?s)max_tokens: .* 32, .* 64.*heads.embed: the folder has it"):
        refresh(own, "moods", measure=False)
    assert refresh(own, "moods", measure=False, taken="catalog") == ["config_sha256"]
    assert load_catalog(own).model("moods").max_tokens == 32


def test_a_head_that_the_folder_lost_cannot_be_kept(own: Path) -> None:
    """--keep refuses a head whose tensors are gone, because the model would not load."""
    retrained("mlm")(own.parent / "models" / "moods")
    with pytest.raises(CheckpointError, match="moods cannot keep its heads: "):
        refresh(own, "moods", measure=False, taken="catalog")


def test_other_tokenizer_files_are_checked_as_new_ones(own: Path) -> None:
    """More pieces than the model has rows are refused, as `add` refuses them."""
    path = own.parent / "models" / "moods" / "tokenizer.json"
    written = json.loads(path.read_text(encoding="utf-8"))
    written["model"]["vocab"] += [[f"piece{i}", -9.0] for i in range(500)]
    path.write_text(json.dumps(written), encoding="utf-8")
    before = own.read_bytes()
    with pytest.raises(ValueError, match="the tokenizer"):
        refresh(own, "moods", measure=False)
    assert own.read_bytes() == before
