"""Judges a head on held-out rows: accuracy, F1 of each label and language, calibration, and the worst errors.

The answers are those that a request would get: scores of windows are merged, and entities are made, as the task does
it. Must not know how a head was fitted, or files.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from functions.messages import TextInput, Window
from functions.tasks import token_classification
from functions.tasks.postprocessing.output_rows import AnswerContext
from functions.tasks.postprocessing.scores import mean, sigmoid, softmax
from functions.tokenizers.tokenizer import Tokenizer
from glossa.head_training.data.examples import Example, Target
from glossa.head_training.fitting.calibration import calibration_error
from glossa.head_training.judging import metrics
from shared.catalog import Head

N_WORST = 10
HALF = 0.5  # the score from which a label of several is given
NO_LABEL = "(none)"
Entity = tuple[int, int, str]  # start and end in code points, and the label
Logits = Sequence[list[list[float]]]  # of each window: one row, or one for each token


@dataclass(frozen=True, slots=True)
class WorstError:
    """A row that the head gets wrong, and by how much: the score of what it says, or the distance of a grade."""

    line: int
    text: str
    expected: str
    said: str
    score: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a head is worth on held-out rows. `summary` has the measures of all rows by name.

    `labels` and `languages` have those of each. `confusion` counts how often each label was taken for each; it is empty
    where a row may have several.
    """

    n_rows: int
    summary: dict[str, float]
    labels: dict[str, metrics.LabelScore] = field(default_factory=dict)
    languages: dict[str, dict[str, float]] = field(default_factory=dict)
    confusion: list[list[int]] = field(default_factory=list)
    worst: list[WorstError] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Answered:
    """Held-out rows with the windows that a model reads of them, and the logits of a head for each window."""

    rows: Sequence[Example]
    windows: Sequence[Sequence[Window]]
    logits: Sequence[Logits]


def judge(answered: Answered, head: Head, target: Target, tokenizer: Tokenizer) -> Judgement:
    """Judge the answers of `head` on held-out rows."""
    if target == "spans":
        return _of_entities(answered, head, tokenizer)
    scores = list(_scores(answered, softmax=target == "label"))
    if target == "grade":
        return judge_grades(answered.rows, [each[0] for each in scores])
    return _of_labels(answered.rows, scores, head.labels, several=target == "labels")


def _scores(answered: Answered, *, softmax: bool) -> Iterator[list[float]]:
    """Yield the scores of each row: those of its windows, averaged by their content tokens."""
    apply = _softmax if softmax else sigmoid
    for windows, logits in zip(answered.windows, answered.logits, strict=True):
        weights = [window.n_content_tokens for window in windows]
        yield list(mean([apply(own[0]) for own in logits], weights))


_softmax = softmax


def _of_labels(
    rows: Sequence[Example], scores: Sequence[list[float]], labels: Sequence[str], *, several: bool
) -> Judgement:
    truths = [set(row.labels) for row in rows]
    if several:
        guesses = [{label for label, score in zip(labels, own, strict=True) if score >= HALF} for own in scores]
        surest = [max(max(score, 1 - score) for score in own) for own in scores]
    else:
        guesses = [{labels[_best(own)]} for own in scores]
        surest = [max(own) for own in scores]
    found = metrics.label_scores(truths, guesses, labels)
    is_right = [truth == guess for truth, guess in zip(truths, guesses, strict=True)]
    summary = _summary(truths, guesses, labels)
    summary |= {"micro_f1": metrics.micro(truths, guesses).f1} if several else {}
    if not several:
        counts = [len([1 for row in rows if label in row.labels]) for label in labels]
        summary |= {"majority_accuracy": max(counts) / len(rows)}
        summary |= {"calibration_error": calibration_error(surest, is_right)}
    place = {label: at for at, label in enumerate(labels)}
    pairs = [] if several else [(place[row.labels[0]], _best(own)) for row, own in zip(rows, scores, strict=True)]
    wrong = [
        WorstError(row.line, row.text, ", ".join(row.labels) or NO_LABEL, ", ".join(sorted(guess)) or NO_LABEL, sure)
        for row, guess, sure, right in zip(rows, guesses, surest, is_right, strict=True)
        if not right
    ]
    return Judgement(
        len(rows),
        summary,
        {str(label): score for label, score in found.items()},
        _of_languages(rows, lambda some: _summary([truths[i] for i in some], [guesses[i] for i in some], labels)),
        metrics.confusion([a for a, _ in pairs], [b for _, b in pairs], len(labels)) if pairs else [],
        _worst(wrong),
    )


def _summary(truths: Sequence[set[str]], guesses: Sequence[set[str]], labels: Sequence[str]) -> dict[str, float]:
    found = metrics.label_scores(truths, guesses, labels)
    return {"accuracy": metrics.accuracy(truths, guesses), "macro_f1": metrics.macro_f1(found)}


def judge_grades(rows: Sequence[Example], scores: Sequence[float]) -> Judgement:
    """Judge the scores of graded pairs, higher for better ones."""
    grades = [0.0 if row.grade is None else row.grade for row in rows]

    def summary(some: Sequence[int]) -> dict[str, float]:
        own = [rows[at] for at in some]
        graded, scored = [grades[at] for at in some], [scores[at] for at in some]
        found = {"spearman": metrics.spearman(graded, scored)}
        found |= {"ndcg_at_10": metrics.ndcg(graded, scored, [row.text for row in own])}
        found |= {"mean_absolute_error": sum(abs(a - b) for a, b in zip(graded, scored, strict=True)) / len(own)}
        return {name: value for name, value in found.items() if not math.isnan(value)}

    everything = range(len(rows))
    wrong = [
        WorstError(row.line, f"{row.text} / {row.text_pair}", f"{grade:.2f}", f"{score:.2f}", abs(grade - score))
        for row, grade, score in zip(rows, grades, scores, strict=True)
    ]
    return Judgement(len(rows), summary(everything), {}, _of_languages(rows, summary), [], _worst(wrong))


def _of_entities(answered: Answered, head: Head, tokenizer: Tokenizer) -> Judgement:
    context = AnswerContext(token_classification.Parameters(), head, tokenizer)
    of_words = replace(context, parameters=token_classification.Parameters(aggregation_strategy="first"))
    by_word: list[set[Entity]] = []
    truths: list[set[Entity]] = []
    guesses: list[set[Entity]] = []
    wrong: list[WorstError] = []
    for row, windows, logits in zip(answered.rows, answered.windows, answered.logits, strict=True):
        answers = [{"logits": own} for own in logits]
        found = token_classification.value(context, TextInput(row.text), windows, answers)
        truth = {(span.start, span.end, span.label) for span in row.spans}
        guess = _entities(found)
        by_word.append(_entities(token_classification.value(of_words, TextInput(row.text), windows, answers)))
        truths.append(truth)
        guesses.append(guess)
        if truth != guess:
            surest = max((float(str(each["score"])) for each in found), default=0.0)
            named = [_named(row.text, sorted(each)) for each in (truth - guess, guess - truth)]
            wrong.append(WorstError(row.line, row.text, named[0], named[1], surest))
    labels = list(dict.fromkeys(label[2:] for label in head.labels if label[1:2] == "-"))

    def summary(some: Sequence[int]) -> dict[str, float]:
        own = [truths[at] for at in some], [guesses[at] for at in some]
        score = metrics.micro(*own)
        macro = metrics.macro_f1(metrics.label_scores(*own, labels))
        return {"f1": score.f1, "precision": score.precision, "recall": score.recall, "macro_f1": macro}

    scores = metrics.label_scores(truths, guesses, labels)
    everything = range(len(answered.rows))
    return Judgement(
        len(answered.rows),
        summary(everything) | {"f1_of_words": metrics.micro(truths, by_word).f1},
        {str(label): score for label, score in scores.items()},
        _of_languages(answered.rows, summary),
        [],
        _worst(wrong),
    )


def _entities(found: Sequence[Mapping[str, Any]]) -> set[Entity]:
    return {(each["start"], each["end"], each["entity_group"]) for each in found}


def _named(text: str, spans: Sequence[Entity]) -> str:
    return ", ".join(f"{text[start:end]} ({label})" for start, end, label in spans) or NO_LABEL


Summary = Callable[[Sequence[int]], dict[str, float]]


def _of_languages(rows: Sequence[Example], summary: Summary) -> dict[str, dict[str, float]]:
    """Return the measures of each language that the rows name, with the number of its rows."""
    of_lang: dict[str, list[int]] = defaultdict(list)
    for at, row in enumerate(rows):
        if row.lang:
            of_lang[row.lang].append(at)
    return {lang: {**summary(some), "n_rows": len(some)} for lang, some in sorted(of_lang.items())}


def _best(scores: Sequence[float]) -> int:
    return max(range(len(scores)), key=lambda at: scores[at])


def _worst(wrong: Sequence[WorstError]) -> list[WorstError]:
    return sorted(wrong, key=lambda each: (-each.score, each.line))[:N_WORST]
