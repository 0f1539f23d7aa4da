"""`glossa evaluate` measures models of a catalog through the engine, as the papers do with transformers."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import transformers

from functions.messages import TextInput
from functions.pipeline.pipeline import Pipeline
from glossa.cli import main
from glossa.commands.answers.run import load
from glossa.commands.evaluate import Options, evaluate
from glossa.evaluation.datasets.registry import DATASETS
from glossa.evaluation.heads import Chosen
from glossa.evaluation.measures import MEASURES
from glossa.evaluation.metrics.entities import conll_entities
from glossa.evaluation.results import read
from glossa.evaluation.runner import Run, asking
from glossa.tokenizer_build.checkpoints import tokenizer_of
from shared.catalog import load_catalog
from shared.errors import NotFinite, Unprocessable
from shared.messages import InferCall, ModelOutput
from tests.unit.functions.tokenizers import tiny

SENTENCES = [text.split()[:6] for text in tiny.SENTENCES[:20] if len(text.split()) > 3]


def write_sentences(folder: Path, tags_of: list[list[str]]) -> Path:
    """Write the sentences with tags in the form of MasakhaNER."""
    (folder / "hau").mkdir()
    blocks = [
        "".join(f"{word} {tag}\n" for word, tag in zip(words, tags, strict=True))
        for words, tags in zip(SENTENCES, tags_of, strict=True)
    ]
    (folder / "hau" / "test.txt").write_text("\n".join(blocks), encoding="utf-8")
    return folder


@torch.inference_mode()
def reference_tags(folder: Path) -> list[list[str]]:
    """Tag words with transformers as its example scripts do: words split before, the label of the first token."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
    model = transformers.XLMRobertaForTokenClassification.from_pretrained(str(folder)).eval()
    found = []
    for words in SENTENCES:
        coded = tokenizer(words, is_split_into_words=True, return_tensors="pt")
        best = model(**coded).logits[0].argmax(-1).tolist()
        places = coded.word_ids()
        found.append([model.config.id2label[best[places.index(at)]] for at in range(len(words))])
    return found


def test_entities_are_measured_as_transformers_tags_words(catalog_path: Path, tmp_path: Path) -> None:
    """Against the tags of the reference, F1 is 100. A second run asks no model, and prints the same."""
    tags = reference_tags(catalog_path.parent / "models" / "people")
    assert len({found for each in tags for found in conll_entities(each)}) > 1
    results = tmp_path / "results.json"
    options = Options(DATASETS["masakhaner"], write_sentences(tmp_path, tags), "people", out=results)
    out = io.StringIO()
    assert evaluate(load_catalog(catalog_path), catalog_path.parent, options, out) == 0
    [record] = read(results).values()
    assert (record.scores["f1_conll"], record.n_unanswered) == (100.0, 0)
    again = io.StringIO()
    assert evaluate(load_catalog(catalog_path), tmp_path / "no-checkpoints", options, again) == 0
    assert again.getvalue() == out.getvalue()


def test_an_input_that_overflows_has_no_answer(catalog_path: Path) -> None:
    """The others of its batch are answered as alone."""
    catalog = load_catalog(catalog_path)
    model = catalog.model("moods")
    answer = load(model, catalog_path.parent)
    most = 4

    def infer(calls: Sequence[InferCall]) -> list[ModelOutput]:
        if any(length > most for call in calls for length in call.row_lengths.int_values()):
            raise NotFinite("got a number that is not finite")
        return answer(calls)

    run = Run("nusax", "test", MEASURES["labels"], Chosen(model, "classifier", {}), "float16", {})
    ask = asking(run, Pipeline(catalog, {"moods": tokenizer_of(model, catalog_path.parent)}), infer)
    found = ask([TextInput(text) for text in ("a", "b", tiny.SENTENCES[0], "a", "human")])
    assert [each is None for each in found] == [False, False, True, False, False]
    assert found[0] == found[3] == ask([TextInput("a")])[0]


def test_a_head_is_needed_before_a_model_is_loaded(catalog_path: Path, tmp_path: Path) -> None:
    """The checkpoint is not even looked for."""
    (tmp_path / "xnli.test.jsonl").write_text(
        '{"language": "en", "gold_label": "neutral", "sentence1": "a", "sentence2": "b"}\n', encoding="utf-8"
    )
    with pytest.raises(Unprocessable, match="contradiction, which xnli needs; its heads: classifier"):
        evaluate(load_catalog(catalog_path), tmp_path, Options(DATASETS["xnli"], tmp_path, "moods"), io.StringIO())


def test_the_command_reads_its_options(catalog_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Labels by other names, several precisions, a limit; an empty text counts as wrong."""
    table = "id,text,label\n1,a,positive\n2,b,neutral\n3, ,negative\n4,c,negative\n"
    (tmp_path / "english").mkdir()
    (tmp_path / "english" / "test.csv").write_text(table, encoding="utf-8")
    words = [
        "evaluate",
        "--catalog",
        str(catalog_path),
        "--model",
        "moods",
        "--dataset",
        "nusax",
        "--data",
        str(tmp_path),
    ]
    words += ["--label", "positive=glad", "--label", "negative=sad", "--label", "neutral=mad", "--limit", "3"]
    assert main([*words, "--compute-type", "float32", "--compute-type", "float16", "--compute-type", "catalog"]) == 0
    shown = capsys.readouterr()
    assert "MACRO F1 float16 - float32" in shown.out
    assert shown.err.count("of 3 in") == 2
    assert shown.err.count("1 without an answer") == 2
    results = tmp_path / "results.json"
    for scores in ({}, {"accuracy": 1.0}):  # as of a version without macro F1: it is measured again
        assert main([*words, "--out", str(results)]) == 0
        value = json.loads(results.read_text(encoding="utf-8"))
        assert list(value["records"][0]["scores"]) == ["accuracy", "macro_f1"]
        value["records"][0]["scores"] = scores
        results.write_text(json.dumps(value), encoding="utf-8")
    capsys.readouterr()
    assert main([*words[:-2], "--label", "positive"]) == 2
    assert "expected GOLD=LABEL" in capsys.readouterr().err
    assert main([*words, "--words", "written"]) == 2
    assert "only data sets of entities have it, and nusax has not" in capsys.readouterr().err
