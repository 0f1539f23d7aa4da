"""On short texts the answer of each task equals that of transformers' own pipeline with the same weights."""

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
from tests.task_cases import groups_alike, scored
from tests.unit.functions.tokenizers import tiny

Answer = Callable[[str, object, dict[str, Any], str], Result]
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
def answer(folders: dict[str, Path], tokenizer: Tokenizer, model: Model) -> Answer:
    """Return a function that answers a request with our pipeline and the forward pass of transformers."""
    ours = Pipeline(Catalog(default_model="tiny", models={"tiny": model}), {"tiny": tokenizer})

    def run(task: str, inputs: object, parameters: dict[str, Any], kind: str) -> Result:
        network = tiny.KINDS[kind].from_pretrained(str(folders[kind])).eval()
        request = parse_request(task, {"inputs": inputs, "parameters": parameters})
        return ours.run(request, tiny.reference_infer(network))

    return run


def reference_pipeline(task: str, folder: Path) -> Any:
    """Make transformers' pipeline of a folder."""
    return transformers.pipeline(task, model=str(folder), tokenizer=str(folder), device="cpu")


def assert_close(ours: Any, theirs: Any) -> None:
    """Assert that two answers are equal, numbers to 1e-5."""
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for name, value in theirs.items():
            assert_close(ours[name], value)
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for mine, value in zip(ours, theirs, strict=True):
            assert_close(mine, value)
    elif isinstance(theirs, str):
        assert ours == theirs
    else:
        assert ours == pytest.approx(float(theirs), abs=1e-5)


@pytest.mark.parametrize(
    "parameters", [{}, {"top_k": 3}, {"top_k": None}, {"top_k": 2, "function_to_apply": "sigmoid"}]
)
def test_text_classification(answer: Answer, folders: dict[str, Path], parameters: dict[str, Any]) -> None:
    """Labels, their order and scores are the reference's."""
    reference = reference_pipeline("text-classification", folders["sequence"])
    theirs = reference(SHORT, **({"top_k": 1} | parameters))
    assert_close(list(answer("text-classification", SHORT, parameters, "sequence").values), theirs)


def test_text_pairs(answer: Answer, folders: dict[str, Path]) -> None:
    """A pair has the labels and scores of the reference."""
    pairs = [{"text": SHORT[i], "text_pair": SHORT[i + 1][:12]} for i in range(3)]
    theirs = reference_pipeline("text-classification", folders["sequence"])(pairs, top_k=None, truncation=True)
    assert_close(
        list(answer("text-classification", pairs, {"top_k": None, "truncation": True}, "sequence").values), theirs
    )


def test_truncation_cuts_as_the_reference(answer: Answer, folders: dict[str, Path]) -> None:
    """With `truncation`, texts and pairs are cut as the reference cuts them, and `truncated` is true."""
    long = " ".join(tiny.SENTENCES[:4])
    inputs = [{"text": long}, {"text": long, "text_pair": long}, {"text": "a b", "text_pair": long}]
    theirs = reference_pipeline("text-classification", folders["sequence"])(inputs, top_k=None, truncation=True)
    result = answer("text-classification", inputs, {"top_k": None, "truncation": True}, "sequence")
    assert_close(list(result.values), theirs)
    assert result.truncated == (True, True, True)
    assert result.n_windows == (1, 1, 1)


@pytest.mark.parametrize("strategy", ["none", "simple"])
@pytest.mark.parametrize("ignored", [["O"], []])
def test_token_classification(answer: Answer, folders: dict[str, Path], strategy: str, ignored: list[str]) -> None:
    """Entities, words, scores and offsets are the reference's, but for what we group otherwise on purpose."""
    reference = reference_pipeline("token-classification", folders["tokens"])
    texts = [text for text in SHORT if "\u0301" not in text]
    texts = [text for text in texts if strategy == "none" or groups_alike(text, reference.tokenizer)]
    theirs = [reference(text, aggregation_strategy=strategy, ignore_labels=ignored) for text in texts]
    parameters = {"aggregation_strategy": strategy, "ignore_labels": ignored}
    assert_close(list(answer("token-classification", texts, parameters, "tokens").values), theirs)
    assert any(theirs)


@pytest.mark.parametrize("targets", [["▁a", "Menschen", "qqq", "s"], ["s"]])
def test_targets_of_a_mask(answer: Answer, folders: dict[str, Path], targets: list[str]) -> None:
    """The scores of targets are the reference's for the pieces that the answer names: words, or the rest of one."""
    reference = reference_pipeline("fill-mask", folders["mlm"])
    texts = ["All <mask> beings", "<mask> x </s> y", "a<mask> b.", "<mask>"]
    theirs = [scored(reference, text, targets) for text in texts]
    assert_close(list(answer("fill-mask", texts, {"targets": targets}, "mlm").values), theirs)


@pytest.mark.parametrize("parameters", [{}, {"top_k": 3}])
def test_fill_mask(answer: Answer, folders: dict[str, Path], parameters: dict[str, Any]) -> None:
    """Guesses of one mask and of several are the reference's."""
    texts = ["All <mask> beings", "<mask> x </s> y", "a<mask> b <mask>.", "<mask>"]
    reference = reference_pipeline("fill-mask", folders["mlm"])
    theirs = [reference(text, **parameters) for text in texts]
    assert_close(list(answer("fill-mask", texts, parameters, "mlm").values), theirs)


def test_feature_extraction(answer: Answer, folders: dict[str, Path]) -> None:
    """Token vectors are the reference's. A pooled vector is their mean, normalized on request."""
    theirs = [tokens[0] for tokens in reference_pipeline("feature-extraction", folders["backbone"])(SHORT)]
    assert_close(list(answer("feature-extraction", SHORT, {"per_token": True}, "backbone").values), theirs)
    means = [[sum(column) / len(column) for column in zip(*tokens, strict=True)] for tokens in theirs]
    assert_close(list(answer("feature-extraction", SHORT, {}, "backbone").values), means)
    lengths = [sum(x * x for x in vector) ** 0.5 for vector in means]
    units = [[x / length for x in vector] for vector, length in zip(means, lengths, strict=True)]
    assert_close(list(answer("feature-extraction", SHORT, {"normalize": True}, "backbone").values), units)
