"""On short texts every task's answer is that of transformers' own pipeline with the same weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers

from functions.http.text_json import parse_request
from functions.messages import Result
from functions.pipeline.pipeline import Pipeline
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Catalog, Model
from tests.unit.functions.tokenizers import tiny

Ask = Callable[[str, object, dict[str, Any], str], Result]
SHORT = [*(text for text in tiny.SENTENCES if len(text) < 55), "a", "x </s> y", "\ufeffb", "cafe\u0301 ﬁn Würde"]


@pytest.fixture(scope="module")
def folders(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write one random checkpoint for each kind of head."""
    made = {}
    for kind in tiny.KINDS:
        folder = tmp_path_factory.mktemp(kind)
        shutil.copytree(tiny_folder, folder, dirs_exist_ok=True)
        tiny.write_checkpoint(folder, kind)
        made[kind] = folder
    return made


@pytest.fixture(scope="module")
def ask(folders: dict[str, Path], tokenizer: Tokenizer, model: Model) -> Ask:
    """Send a request through the desks, answered by transformers' own forward."""
    journey = Pipeline(Catalog(default_model="tiny", models={"tiny": model}), {"tiny": tokenizer})

    def run(task: str, inputs: object, parameters: dict[str, Any], kind: str) -> Result:
        network = tiny.KINDS[kind].from_pretrained(str(folders[kind])).eval()
        request = parse_request(task, {"inputs": inputs, "parameters": parameters})
        return journey.run(request, tiny.reference_infer(network))

    return run


def pipeline(task: str, folder: Path) -> Any:
    """Make the reference's pipeline of a folder."""
    return transformers.pipeline(task, model=str(folder), tokenizer=str(folder), device="cpu")


def close(ours: Any, theirs: Any) -> None:
    """Equal, numbers to 1e-5."""
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for name, value in theirs.items():
            close(ours[name], value)
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for mine, value in zip(ours, theirs, strict=True):
            close(mine, value)
    elif isinstance(theirs, str):
        assert ours == theirs
    else:
        assert ours == pytest.approx(float(theirs), abs=1e-5)


@pytest.mark.parametrize(
    "parameters", [{}, {"top_k": 3}, {"top_k": None}, {"top_k": 2, "function_to_apply": "sigmoid"}]
)
def test_text_classification(ask: Ask, folders: dict[str, Path], parameters: dict[str, Any]) -> None:
    """Labels, their order and scores are the pipeline's."""
    reference = pipeline("text-classification", folders["sequence"])
    theirs = reference(SHORT, **({"top_k": 1} | parameters))
    close(list(ask("text-classification", SHORT, parameters, "sequence").values), theirs)


def test_text_pairs(ask: Ask, folders: dict[str, Path]) -> None:
    """A pair is classified as the pipeline classifies it."""
    pairs = [{"text": SHORT[i], "text_pair": SHORT[i + 1][:12]} for i in range(3)]
    theirs = pipeline("text-classification", folders["sequence"])(pairs, top_k=None, truncation=True)
    close(list(ask("text-classification", pairs, {"top_k": None, "truncation": True}, "sequence").values), theirs)


def test_truncation_cuts_as_the_reference(ask: Ask, folders: dict[str, Path]) -> None:
    """With `truncation` a long text and a long pair are cut where the pipeline cuts, and the answer says so."""
    long = " ".join(tiny.SENTENCES[:4])
    inputs = [{"text": long}, {"text": long, "text_pair": long}, {"text": "a b", "text_pair": long}]
    theirs = pipeline("text-classification", folders["sequence"])(inputs, top_k=None, truncation=True)
    result = ask("text-classification", inputs, {"top_k": None, "truncation": True}, "sequence")
    close(list(result.values), theirs)
    assert result.truncated == (True, True, True)
    assert result.n_windows == (1, 1, 1)


@pytest.mark.parametrize("strategy", ["none", "simple"])
@pytest.mark.parametrize("ignored", [["O"], []])
def test_token_classification(ask: Ask, folders: dict[str, Path], strategy: str, ignored: list[str]) -> None:
    """Entities, words, scores and places are the pipeline's."""
    texts = [text for text in SHORT if "\u0301" not in text]
    reference = pipeline("token-classification", folders["tokens"])
    theirs = [reference(text, aggregation_strategy=strategy, ignore_labels=ignored) for text in texts]
    asked = {"aggregation_strategy": strategy, "ignore_labels": ignored}
    close(list(ask("token-classification", texts, asked, "tokens").values), theirs)
    assert any(theirs)


@pytest.mark.parametrize(
    "parameters", [{}, {"top_k": 3}, {"targets": ["▁a", "Menschen", "qqq", "s"]}, {"targets": "s"}]
)
def test_fill_mask(ask: Ask, folders: dict[str, Path], parameters: dict[str, Any]) -> None:
    """Guesses of one mask and of several, with and without targets, are the pipeline's."""
    texts = ["All <mask> beings", "<mask> x </s> y", "a<mask> b <mask>.", "<mask>"]
    reference = pipeline("fill-mask", folders["mlm"])
    theirs = [reference(text, **parameters) for text in texts]
    close(list(ask("fill-mask", texts, parameters, "mlm").values), theirs)


def test_feature_extraction(ask: Ask, folders: dict[str, Path]) -> None:
    """Vectors per token are the pipeline's; a pooled vector is their mean, normalised when asked."""
    theirs = [tokens[0] for tokens in pipeline("feature-extraction", folders["backbone"])(SHORT)]
    close(list(ask("feature-extraction", SHORT, {"per_token": True}, "backbone").values), theirs)
    means = [[sum(column) / len(column) for column in zip(*tokens, strict=True)] for tokens in theirs]
    close(list(ask("feature-extraction", SHORT, {}, "backbone").values), means)
    lengths = [sum(x * x for x in vector) ** 0.5 for vector in means]
    units = [[x / length for x in vector] for vector, length in zip(means, lengths, strict=True)]
    close(list(ask("feature-extraction", SHORT, {"normalize": True}, "backbone").values), units)
