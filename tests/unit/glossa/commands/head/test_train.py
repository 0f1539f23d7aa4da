"""`glossa head train` makes a head that the catalog has, that transformers loads, and that a seed decides."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from glossa.cli import main
from glossa.commands.answers.run import LineRequest, run
from glossa.commands.catalog.trial import compare_head
from glossa.commands.head.remove import remove
from glossa.commands.head.train import train, try_line
from glossa.head_training.options import TrainOptions
from glossa.tokenizer_build.checkpoints import tokenizer_of
from serve.checkpoints.files import HEAD
from serve.engine.load_engine import load_engine
from shared.catalog import load_catalog
from tests.unit.glossa.commands.head.conftest import Write, texts

TEXTS = texts(30)
LABELLED = [{"text": text, "label": "abc"[at % 3], "lang": "xy"[at % 2]} for at, text in enumerate(TEXTS)]
ROWS: dict[str, list[dict[str, Any]]] = {
    "text-classification": LABELLED,
    "token-classification": [{"tokens": text.split(), "tags": ["B-N", "O", "O", "B-M", "I-M"]} for text in TEXTS],
    "zero-shot-classification": [
        {"premise": text, "hypothesis": TEXTS[0], "label": ["entailment", "other"][at % 2]}
        for at, text in enumerate(TEXTS)
    ],
    "rerank": [{"query": text, "document": TEXTS[1], "score": at % 4} for at, text in enumerate(TEXTS)],
}


def compare(house: Path, name: str) -> None:
    """Compare a head's answers in the engine with those of transformers for its folder."""
    model = load_catalog(house).model("moods")
    head = model.heads[name]
    line = compare_head(
        load_engine(model, house.parent), house.parent / head.checkpoint, name, head, tokenizer_of(model, house.parent)
    )
    assert line.ok, line


def test_the_line_to_try_names_the_catalog() -> None:
    """It can be pasted, also when the catalog is not the one of the folder."""
    assert try_line(Path("catalog.toml"), "rerank", "moods:mine") == "glossa run --task rerank --model moods:mine"
    assert try_line(Path("/my house/c.toml"), "rerank", "m:x").endswith("--model m:x --catalog '/my house/c.toml'")


@pytest.mark.parametrize("task", list(ROWS))
def test_a_head_of_each_task_answers_as_transformers_does(house: Path, write_rows: Write, task: str) -> None:
    """The catalog has it, the engine answers with it, and transformers gives the same logits for its folder."""
    result = train(house, TrainOptions("moods", task, write_rows(ROWS[task]), "mine"))
    assert result.reference == "moods:mine"
    assert result.judgement.n_rows == len(TEXTS) - result.facts.n_train
    head = load_catalog(house).model("moods").heads["mine"]
    assert task in head.tasks
    compare(house, "mine")
    kind = transformers.AutoConfig.from_pretrained(house.parent / head.checkpoint).architectures[0]
    network = getattr(transformers, kind).from_pretrained(house.parent / head.checkpoint)
    assert network.config.id2label == dict(enumerate(head.labels))
    link = house.parent / head.checkpoint / "backbone.safetensors"
    assert link.stat().st_size <= (house.parent / "models/moods/model.safetensors").stat().st_size


def test_one_seed_gives_one_file_and_another_seed_another(house: Path, write_rows: Write) -> None:
    """The head's file has the same bytes for one seed; --replace writes it anew."""
    path = write_rows(LABELLED)

    def head_file(seed: int, **more: Any) -> bytes:
        out = train(house, TrainOptions("moods", "text-classification", path, "mine", seed=seed, **more)).out
        return (out / HEAD).read_bytes()

    first = head_file(3)
    assert head_file(3, replace=True) == first
    assert head_file(4, replace=True) != first


def test_a_linear_head_is_read_with_its_own_loader(
    house: Path, write_rows: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file beside it gives the logits of the engine, which `glossa run` then answers with."""
    rows = [{"text": row["text"], "labels": [row["label"]] * (at % 4 > 0)} for at, row in enumerate(LABELLED)]
    options = TrainOptions("moods", "text-classification", write_rows(rows), "many", kind="linear")
    out = train(house, options).out
    compare(house, "many")
    spec = importlib.util.spec_from_file_location("linear_head", out / "linear_head.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    capsys.readouterr()
    theirs = module.LinearHead.from_folder(out)
    assert "MISSING" not in capsys.readouterr().err
    with torch.no_grad():
        scores = theirs(**theirs.tokenizer(TEXTS[:2], padding=True, return_tensors="pt")).sigmoid()
    found: list[bytes] = []
    request = LineRequest("text-classification", "moods:many", {"top_k": None})
    read, write = os.pipe()
    os.write(write, "\n".join(TEXTS[:2]).encode())
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        run(load_catalog(house), house.parent, request, stream, found.append)
    for line, own in zip(b"".join(found).splitlines(), scores, strict=True):
        said = {each["label"]: each["score"] for each in json.loads(line)}
        assert [said[label] for label in theirs.labels] == pytest.approx(own.tolist(), abs=1e-5)


@pytest.mark.parametrize("task", ["text-classification", "sentence-similarity"])
def test_layers_that_are_trained_too_make_a_model(house: Path, write_rows: Write, task: str) -> None:
    """The catalog has a model of its own, only its last layer differs, and it answers."""
    pairs = [{"sentence1": a, "sentence2": TEXTS[at // 2], "score": at % 3} for at, a in enumerate(TEXTS)]
    path = write_rows(LABELLED if task == "text-classification" else pairs)
    result = train(house, TrainOptions("moods", task, path, "whole", unfreeze=1))
    model = load_catalog(house).model("whole")
    assert task in model.tasks
    kinds = {"text-classification": "ForSequenceClassification", "sentence-similarity": "Model"}
    kind = getattr(transformers, f"XLMRoberta{kinds[task]}")
    found, before = (kind.from_pretrained(folder) for folder in (result.out, house.parent / "models/moods"))
    layers = [getattr(each, "roberta", each).encoder.layer for each in (found, before)]
    same = [torch.equal(a.output.dense.weight, b.output.dense.weight) for a, b in zip(*layers, strict=True)]
    assert same == [True, False]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "No"}, "expected 1 to 63 of a-z"),
        ({"name": "classifier"}, "in its own checkpoint"),
        ({"task": "sentence-similarity"}, "--unfreeze N"),
        ({"data": Path("rows.xlsx")}, "whose name ends with one of .csv"),
        ({"data": Path("rows.csv")}, "which is no file"),
        ({"share": 0.9}, "at most 0.5"),
        ({"seed": -1}, "expected 0 to"),
        ({"seed": 2**64}, "expected 0 to"),
        ({"unfreeze": 1, "kind": "linear"}, "the family's own head"),
        ({"unfreeze": 1, "name": "people"}, "has a model of this name"),
        ({"out": Path(__file__).parent}, "is there already"),
        ({"out": Path(__file__) / "below"}, "expected a folder that can be made"),
        ({"out": Path(__file__).parent, "replace": True}, "a folder that glossa head train wrote"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_read(
    house: Path, write_rows: Write, given: dict[str, Any], said: str
) -> None:
    """Each is said with what was expected, and the catalog stays as it was."""
    write_rows([])
    before = house.read_text(encoding="utf-8")
    usual = {"model": "moods", "task": "text-classification", "data": house.parent / "rows.jsonl", "name": "mine"}
    with pytest.raises(ValueError, match="got") as error:
        train(house, TrainOptions(**{**usual, **given}))
    assert said in str(error.value)
    assert house.read_text(encoding="utf-8") == before


def test_the_command_prints_what_the_head_is_worth(
    house: Path, write_rows: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its table, languages and worst errors are printed, bad rows end it with code 2, and a head can be removed."""
    line = ["head", "train", "--catalog", str(house), "--model", "moods", "--task", "text-classification"]
    assert main([*line, "--data", str(write_rows(LABELLED)), "--name", "mine", "--default"]) == 0
    printed = capsys.readouterr().out
    for part in ("macro F1", "label  precision", "language  accuracy", "worst errors", "calibration"):
        assert part in printed
    assert load_catalog(house).model("moods").head_for("text-classification", None) == "mine"
    assert (house.parent / "checkpoints/moods-mine/confusion.svg").is_file()
    report = json.loads((house.parent / "checkpoints/moods-mine/training.json").read_text(encoding="utf-8"))
    assert report["training"]["seed"] == 0
    assert TEXTS[0] not in json.dumps(report)
    assert main([*line, "--data", str(write_rows([{"text": "a"}], "bad.jsonl")), "--name", "other"]) == 2
    assert "bad.jsonl line 1: got columns text, expected a column label" in capsys.readouterr().err
    assert main(["catalog", "test", "--catalog", str(house), "moods", "--no-measure"]) == 0
    assert capsys.readouterr().out.count("PASS") == len(load_catalog(house).model("moods").heads) + 1
    remove(house, "moods:mine")
    assert "mine" not in load_catalog(house).model("moods").heads
