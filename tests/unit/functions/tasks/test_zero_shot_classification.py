"""Zero-shot classification gives the scores of transformers, and averages the windows of a long text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import transformers

from functions.tasks.zero_shot_classification import contradiction, entailment
from functions.tokenizers.tokenizer import Tokenizer
from shared.catalog import Model
from shared.errors import Unprocessable
from tests.unit.functions.http.bodies import valid_body
from tests.unit.functions.task_requests import LONG, ZERO_SHOT, infer_rows, run_request, tokenize_request
from tests.unit.functions.tokenizers import tiny


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("labels", [["weather", "human rights", "sports"], ["weather"]])
def test_scores_are_those_of_transformers(
    tiny_folder: Path, model: Model, tokenizer: Tokenizer, labels: list[str], *, multi_label: bool
) -> None:
    """Sequence, labels, their order and scores equal those of transformers' pipeline."""
    network = tiny.write_checkpoint(tiny_folder, "sequence", tiny.NLI)
    reference = transformers.pipeline(
        "zero-shot-classification", model=network, tokenizer=str(tiny_folder), device="cpu"
    )
    texts = ["All human beings are born free.", "東京は晴れ。"]
    parameters = {"candidate_labels": labels, "multi_label": multi_label, "hypothesis_template": "About {}!"}
    ours = run_request(
        model,
        tokenizer,
        valid_body("zero-shot-classification", texts, **parameters),
        "zero-shot-classification",
        tiny.reference_infer(network),
    )
    for mine, theirs in zip(ours.values, [reference(text, **parameters) for text in texts], strict=True):
        assert isinstance(mine, dict)
        assert (mine["sequence"], mine["labels"]) == (theirs["sequence"], theirs["labels"])
        assert mine["scores"] == pytest.approx(theirs["scores"], abs=1e-5)


def test_windows_are_weighted_by_their_tokens(model: Model, tokenizer: Tokenizer) -> None:
    """Each window's softmax over the labels is weighted by the window's tokens of the text."""

    def numbers(ids: Sequence[int]) -> Mapping[str, list[float]]:
        return {"logits": [0.0, 1.0, math.sin(sum(ids)) * 3]}

    task = "zero-shot-classification"
    [value] = run_request(model, tokenizer, valid_body(task, LONG, **ZERO_SHOT), task, infer_rows(numbers)).values
    assert isinstance(value, dict)
    found = tokenize_request(model, tokenizer, task, LONG, **ZERO_SHOT)
    expected, n_tokens = np.zeros(3), 0
    firsts = [window for window in found.windows if window.part == 0]
    for window in firsts:
        same = [other for other in found.windows if other.start == window.start]
        raised = np.exp([np.float32(math.sin(sum(other.input_ids)) * 3) for other in same])
        expected += raised / raised.sum() * window.sequence_ids.count(0)
        n_tokens += window.sequence_ids.count(0)
    scores = dict(zip(value["labels"], value["scores"], strict=True))
    assert [scores[label] for label in ZERO_SHOT["candidate_labels"]] == pytest.approx(expected / n_tokens, abs=1e-6)


@pytest.mark.parametrize(
    ("labels", "column"),
    [
        (("contradiction", "neutral", "entailment"), 0),
        (("neutral", "CONTRADICTION", "ENTAILMENT"), 1),
        (("neutral", "entailment", "contradiction"), 2),
        (("entailment", "not_entailment"), -1),
        (("no", "Entails"), 0),
    ],
)
def test_labels_of_inference_are_found_by_name(labels: tuple[str, ...], column: int) -> None:
    """Contradiction is the label of that name, in any case and place; without one, the reference's place."""
    assert contradiction(labels) == column
    assert entailment(labels) is not None


@pytest.mark.parametrize(
    ("parameters", "labels", "message"),
    [
        ({"candidate_labels": "a, b"}, ("LABEL_0", "LABEL_1"), "expected one that begins with entail"),
        ({"candidate_labels": "a", "hypothesis_template": "{{}}"}, tiny.NLI, r"exactly one \{\}"),
        ({"candidate_labels": " , "}, tiny.NLI, "candidate_labels: got .*, expected at least 1 item"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    model: Model, tokenizer: Tokenizer, parameters: dict[str, object], labels: tuple[str, ...], message: str
) -> None:
    """A head without entailment, a template with other braces and no label at all are a 422."""
    head = model.heads["nli"].model_copy(update={"labels": labels})
    other = model.model_copy(update={"heads": {"nli": head}})
    task = "zero-shot-classification"
    body = {"inputs": "a", "parameters": parameters}
    with pytest.raises(Unprocessable, match=message):
        run_request(other, tokenizer, body, task, infer_rows(lambda _: {"logits": [0.0] * len(labels)}))
