"""What is asked of a model for each kind of data set, and how its answers become figures. Pure.

An answer of None is an input that the model could not read; it counts as wrong. Must not know data sets, files, or who
answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from functions.messages import TextInput
from glossa.evaluation.datasets.dataset import Kind
from glossa.evaluation.examples import (
    Choice,
    Example,
    Graded,
    Labelled,
    Question,
    Span,
    Tagged,
    Translation,
    only,
)
from glossa.evaluation.metrics import answers, entities, labels, vectors

Scores = dict[str, float]
Answers = Sequence[Any]  # what a task returns for each input, None for an input that it could not read
OUTSIDE = "O"
PERCENT = 100.0


@dataclass(frozen=True, slots=True)
class Measure:
    """One kind of measurement.

    `task` and `parameters` are what is asked. `inputs(examples)` are the inputs in an order that `score` knows.
    `score(examples, answers, lang)` returns figures in percent. `baseline(examples)` returns those of always giving
    the commonest answer, or of chance, as far as there is such a thing.
    """

    task: str
    parameters: Mapping[str, object]
    inputs: Callable[[Sequence[Example]], list[TextInput]]
    score: Callable[[Sequence[Example], Answers, str], Scores]
    baseline: Callable[[Sequence[Example]], Scores]


def _none(_: Sequence[Example]) -> Scores:
    return {}


def _of_labels(gold: Sequence[object], given: Sequence[object]) -> Scores:
    return {"accuracy": labels.accuracy(gold, given), "macro_f1": labels.macro_f1(gold, given)}


def _label_inputs(examples: Sequence[Example]) -> list[TextInput]:
    return [TextInput(each.text, each.pair) for each in only(Labelled, examples)]


def _label_scores(examples: Sequence[Example], given: Answers, _: str) -> Scores:
    best = [answer and answer[0]["label"] for answer in given]
    return _of_labels([each.label for each in only(Labelled, examples)], best)


def _label_baseline(examples: Sequence[Example]) -> Scores:
    gold = [each.label for each in only(Labelled, examples)]
    return _of_labels(gold, labels.majority(gold)) if len(set(gold)) > 1 else {}


def _entity_inputs(examples: Sequence[Example]) -> list[TextInput]:
    return [TextInput(each.text) for each in only(Tagged, examples)]


def _entity_scores(examples: Sequence[Example], given: Answers, _: str) -> Scores:
    gold = [each.tags for each in only(Tagged, examples)]
    tags = [word_tags(each.spans, answer or []) for each, answer in zip(only(Tagged, examples), given, strict=True)]
    of = {"f1_strict": entities.strict_entities, "f1_conll": entities.conll_entities}
    return {name: entities.f1(gold, tags, found) for name, found in of.items()}


def word_tags(spans: Sequence[Span], tokens: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the tag of each word: that of its first token, as the papers do it. A word without tokens is outside.

    `tokens` are those of token-classification without groups, in the order of the text.
    """
    found: list[str] = []
    at = 0
    for begin, end in spans:
        while at < len(tokens) and tokens[at]["end"] <= begin:
            at += 1
        inside = at < len(tokens) and tokens[at]["start"] < end
        found.append(str(tokens[at]["entity"]) if inside else OUTSIDE)
    return found


def _question_inputs(examples: Sequence[Example]) -> list[TextInput]:
    return [TextInput(each.question, each.context) for each in only(Question, examples)]


def _answer_scores(examples: Sequence[Example], given: Answers, words: answers.Normalize) -> Scores:
    gold = [each.answers for each in only(Question, examples)]
    texts = [answer["answer"] if answer else "" for answer in given]
    return {"f1": answers.f1(gold, texts, words), "exact_match": answers.exact_match(gold, texts, words)}


def _squad_scores(examples: Sequence[Example], given: Answers, _: str) -> Scores:
    return _answer_scores(examples, given, answers.squad_words)


def _mlqa_scores(examples: Sequence[Example], given: Answers, lang: str) -> Scores:
    return _answer_scores(examples, given, answers.mlqa_words(lang.partition("-")[0]))


def _choice_inputs(examples: Sequence[Example]) -> list[TextInput]:
    return [TextInput(each.text, texts=each.choices) for each in only(Choice, examples)]


def _choice_scores(examples: Sequence[Example], given: Answers, _: str) -> Scores:
    best = [answer and answer[0]["index"] for answer in given]
    return {"accuracy": labels.accuracy([each.right for each in only(Choice, examples)], best)}


def _choice_baseline(examples: Sequence[Example]) -> Scores:
    gold = [each.right for each in only(Choice, examples)]
    return {"accuracy": labels.accuracy(gold, labels.majority(gold))}


def _translation_inputs(examples: Sequence[Example]) -> list[TextInput]:
    pairs = only(Translation, examples)
    return [*(TextInput(each.text) for each in pairs), *(TextInput(each.translation) for each in pairs)]


def _translation_scores(_: Sequence[Example], given: Answers, __: str) -> Scores:
    first, second = _halves(given)
    return {
        "accuracy": vectors.retrieval_accuracy(first, second),
        "accuracy_from_english": vectors.retrieval_accuracy(second, first),
    }


def _translation_baseline(examples: Sequence[Example]) -> Scores:
    chance = PERCENT / len(examples)
    return {"accuracy": chance, "accuracy_from_english": chance}


def _graded_inputs(examples: Sequence[Example]) -> list[TextInput]:
    pairs = only(Graded, examples)
    return [*(TextInput(each.first) for each in pairs), *(TextInput(each.second) for each in pairs)]


def _graded_scores(examples: Sequence[Example], given: Answers, _: str) -> Scores:
    found = vectors.cosines(*_halves(given))
    return {"spearman": vectors.spearman([each.grade for each in only(Graded, examples)], found)}


def _halves(given: Answers) -> tuple[vectors.Vectors, vectors.Vectors]:
    """Return the vectors of the first and of the second texts; an input without an answer has a vector of zeros."""
    width = next((len(vector) for vector in given if vector is not None), 1)
    rows = [[0.0] * width if vector is None else vector for vector in given]
    return rows[: len(rows) // 2], rows[len(rows) // 2 :]


TOKENS = {"aggregation_strategy": "none", "ignore_labels": []}
LONGEST_ANSWER = {"max_answer_len": 30}  # tokens, as in the scripts of BERT for SQuAD
MEASURES: Mapping[Kind, Measure] = {
    "labels": Measure("text-classification", {}, _label_inputs, _label_scores, _label_baseline),
    "entities": Measure("token-classification", TOKENS, _entity_inputs, _entity_scores, _none),
    "squad": Measure("question-answering", LONGEST_ANSWER, _question_inputs, _squad_scores, _none),
    "mlqa": Measure("question-answering", LONGEST_ANSWER, _question_inputs, _mlqa_scores, _none),
    "choices": Measure("multiple-choice", {}, _choice_inputs, _choice_scores, _choice_baseline),
    "retrieval": Measure("feature-extraction", {}, _translation_inputs, _translation_scores, _translation_baseline),
    "similarity": Measure("feature-extraction", {}, _graded_inputs, _graded_scores, _none),
}
