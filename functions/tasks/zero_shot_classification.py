"""Scores labels that the caller names, with a head that was trained on natural language inference.

Each label becomes a hypothesis that the model reads beside the text. Must not know how texts become tokens.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, Strict, StringConstraints, WithJsonSchema
from typing_extensions import TypedDict

from functions.messages import TextInput, Window
from functions.tasks.postprocessing.output_rows import Answer, AnswerContext, RowsPerWindow, Vector, by_part
from functions.tasks.postprocessing.scores import mean, softmax
from functions.tasks.task import (
    MAX_STRING_CHARS,
    Assembler,
    InputFields,
    Task,
    TextPair,
    Truncatable,
    TruncationStrategy,
)
from shared.catalog import Head
from shared.errors import ReplicaError, Unprocessable


def _split(value: object) -> object:
    """Read `a, b` as two labels, as transformers does."""
    return [label.strip() for label in value.split(",") if label.strip()] if isinstance(value, str) else value


def _template(value: str) -> str:
    if (value.count("{"), value.count("{}"), value.count("}")) != (1, 1, 1):
        raise ValueError("a template with exactly one {}, in which each label is put, and no other brace")
    return value


def _label(value: str) -> str:
    if not value.strip():
        raise ValueError("a label of at least one character that is not white space")
    return value


Label = Annotated[
    str,
    StringConstraints(max_length=MAX_STRING_CHARS),
    AfterValidator(_label),
    WithJsonSchema({"type": "string", "maxLength": MAX_STRING_CHARS, "pattern": r"\S"}),
]
Labels = Annotated[
    tuple[Label, ...], Strict(strict=False), BeforeValidator(_split), Field(min_length=1, max_length=256)
]
Template = Annotated[
    str,
    StringConstraints(max_length=MAX_STRING_CHARS),
    AfterValidator(_template),
    WithJsonSchema({"type": "string", "maxLength": MAX_STRING_CHARS, "pattern": r"^[^{}]*\{\}[^{}]*$"}),
]


class Parameters(Truncatable):
    """Scores each of `candidate_labels` for a text, with a head that was trained on natural language inference.

    Each label takes the place of {} in `hypothesis_template`, and the result is read beside the text. Scores are a
    softmax over the entailment of all labels. With `multi_label`, each score is the probability of entailment against
    contradiction. A long text is read in adjacent windows without overlap, the same for all labels. Their scores are
    averaged, weighted by their tokens.
    """

    input_forms: ClassVar[tuple[InputFields, ...]] = (
        InputFields("text"),
        InputFields("sequence"),
        InputFields("sequences"),
    )
    truncation_strategy: ClassVar[TruncationStrategy] = "first"

    candidate_labels: Labels
    hypothesis_template: Template = "This example is {}."
    multi_label: bool = False

    def text_pairs(self, item: TextInput) -> Sequence[TextPair]:
        """Return the text beside the hypothesis of each label."""
        langs = item.lang, item.lang_pair or item.lang
        hypotheses = (self.hypothesis_template.replace("{}", label) for label in self.candidate_labels)
        return [TextPair(item.text, hypothesis, *langs) for hypothesis in hypotheses]

    def check_head(self, name: str, head: Head) -> None:
        """Raise Unprocessable when no label of the head says entailment."""
        if entailment(head.labels) is None:
            raise Unprocessable(f"head {name} has labels {list(head.labels)[:8]}, expected one that begins with entail")


class Ranking(TypedDict):
    """The text, and the labels with their scores, best first."""

    sequence: str
    labels: list[str]
    scores: list[float]


def entailment(labels: Sequence[str]) -> int | None:
    """Return the column of entailment: the first label that begins with `entail`, as transformers finds it."""
    return next((i for i, label in enumerate(labels) if label.lower().startswith("entail")), None)


def contradiction(labels: Sequence[str]) -> int:
    """Return the column of contradiction: the first label that begins with `contra`.

    Without one, it is the first column, or the last when entailment is the first. The reference always takes these.
    """
    named = next((i for i, label in enumerate(labels) if label.lower().startswith("contra")), None)
    return (-1 if entailment(labels) == 0 else 0) if named is None else named


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, RowsPerWindow]:
    """Name the tensor to read: `logits` [windows, labels]."""
    del parameters, target_ids
    return {"logits": 1}


def value(
    context: AnswerContext[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> Ranking:
    """Return `sequence`, `labels` and `scores`, best first, by the rules of the pipeline of transformers.

    Scores are a softmax over the entailment logits of all labels. With `multi_label`, and for a single label, they are
    a softmax over entailment and contradiction of each label; `contradiction` finds its column. All labels have
    windows at the same places. Scores of windows are averaged, weighted by the tokens of the text in them.
    """
    parts = list(by_part(windows, answers))
    logits = [[_checked(context, answer["logits"][0]) for answer in theirs] for _, theirs in parts]
    weights = [max(1, window.sequence_ids.count(0)) for window in parts[0][0]]
    entails = entailment(context.head.labels) or 0
    if context.parameters.multi_label or len(parts) == 1:
        contradicts = contradiction(context.head.labels)
        each = [[softmax([row[contradicts], row[entails]])[1] for row in rows] for rows in logits]
        scores = [mean([[score] for score in label], weights)[0] for label in each]
    else:
        scores = mean([softmax([row[entails] for row in rows]) for rows in zip(*logits, strict=True)], weights)
    best = sorted(zip(context.parameters.candidate_labels, scores, strict=True), key=lambda pair: -pair[1])
    return {
        "sequence": item.text,
        "labels": [label for label, _ in best],
        "scores": [score for _, score in best],
    }


def _checked(context: AnswerContext[Parameters], logits: Vector) -> Vector:
    if len(logits) != len(context.head.labels):
        raise ReplicaError(
            f"got {len(logits)} logits from the model server, expected {len(context.head.labels)}, one for each label"
        )
    return logits


TASK = Task("zero-shot-classification", Parameters, Ranking, Assembler(outputs, value))
