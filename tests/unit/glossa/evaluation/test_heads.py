"""The head of a measurement is chosen by task and labels; when none fits, one line says what would."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from glossa.evaluation.datasets.registry import DATASETS
from glossa.evaluation.examples import Labelled, LanguageData, Question, Tagged
from glossa.evaluation.heads import choose
from shared.catalog import Catalog, Head
from shared.errors import NotFound, Unprocessable
from tests.unit.functions.tokenizers.tiny import catalog_model


def catalog(**heads: Sequence[str]) -> Catalog:
    """Return a catalog of one model with classifiers that have these labels, and a tagger `tags`."""
    made = {
        name: Head(task="token-classification" if name == "tags" else "text-classification", labels=tuple(labels))
        for name, labels in heads.items()
    }
    model = catalog_model(100).model_copy(update={"heads": made})
    return Catalog(default_model="tiny", models={"tiny": model})


NLI = [LanguageData("de", tuple(Labelled("a", label, "b") for label in ("entailment", "neutral", "contradiction")))]
PAIRS = [LanguageData("de", (Labelled("a", "0", "b"), Labelled("a", "1", "b")))]


def test_a_classifier_is_found_by_its_labels() -> None:
    """Case does not count, order neither; a head with other labels is passed over."""
    models = catalog(topic=("a", "b"), nli=("CONTRADICTION", "Neutral", "entailment"))
    chosen = choose(DATASETS["xnli"], NLI, models, None, {})
    assert chosen.reference == "tiny:nli"
    assert chosen.gold == {"CONTRADICTION": "contradiction", "Neutral": "neutral", "entailment": "entailment"}


def test_labels_may_have_other_names() -> None:
    """A data set knows the usual ones, and the caller may say which is which."""
    models = catalog(pairs=("LABEL_0", "LABEL_1"))
    assert choose(DATASETS["pawsx"], PAIRS, models, "tiny:pairs", {}).gold == {"LABEL_0": "0", "LABEL_1": "1"}
    said = {"0": "LABEL_1", "1": "LABEL_0"}
    assert choose(DATASETS["pawsx"], PAIRS, models, None, said).gold == {"LABEL_1": "0", "LABEL_0": "1"}


@pytest.mark.parametrize("name", ["xnli", "wikiann"])
def test_a_name_of_a_label_that_the_data_has_not_is_refused(name: str) -> None:
    """It would do nothing: a slip of the pen, or a data set of another kind."""
    models = catalog(nli=("contradiction", "neutral", "entailment"), tags=("O", "B-PER"))
    with pytest.raises(Unprocessable, match="got --label entails=LABEL_0, expected as GOLD"):
        choose(DATASETS[name], NLI, models, None, {"entails": "LABEL_0"})


def test_a_model_without_the_head_is_told_what_adds_one() -> None:
    """For a task that it has not, for labels that no head has, and for a named head with other labels."""
    models = catalog(topic=("a", "b"))
    asked = [LanguageData("de", (Question("a", "b", ("b",)),))]
    with pytest.raises(Unprocessable, match="has no head for question-answering, which xquad needs") as raised:
        choose(DATASETS["xquad"], asked, models, None, {})
    assert "such as XLMRobertaForQuestionAnswering: glossa catalog add FOLDER" in str(raised.value.hint)
    with pytest.raises(
        Unprocessable, match="with the labels entailment, neutral, contradiction, which xnli needs"
    ) as raised:
        choose(DATASETS["xnli"], NLI, models, None, {})
    assert (
        raised.value.hint
        == "add one: glossa head train --model tiny --task text-classification --data FILE --name NAME"
    )
    with pytest.raises(Unprocessable, match="head tiny:topic has labels a, b, expected entailment") as raised:
        choose(DATASETS["xnli"], NLI, models, "tiny:topic", {})
    assert raised.value.hint == "say which is which: --label GOLD=LABEL"
    with pytest.raises(NotFound):
        choose(DATASETS["xnli"], NLI, models, "tiny:none", {})


def test_types_of_entities_that_a_head_lacks_are_named() -> None:
    """Some may be missing, not all."""
    data = [LanguageData("hau", (Tagged("a b", ((0, 1), (2, 3)), ("B-PER", "B-DATE")),))]
    assert choose(DATASETS["masakhaner"], data, catalog(tags=("O", "B-PER", "I-PER")), None, {}).missing == ("DATE",)
    with pytest.raises(Unprocessable, match="expected tags such as B-DATE and I-DATE"):
        choose(DATASETS["masakhaner"], data, catalog(tags=("LABEL_0", "LABEL_1")), None, {})
