"""Parameters of zero-shot-classification; knows nothing of models."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, Strict, StringConstraints, WithJsonSchema

from functions.tasks.task import MAX_STRING_CHARS, Cut, InputFields, TextPair, Truncatable
from shared.catalog import Head
from shared.errors import Unprocessable
from shared.messages import TextInput


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
    """A text gets a score for each of `candidate_labels`, by a head trained on natural language inference.

    Each label is put in the place of {} in `hypothesis_template` and read beside the text. Scores are the labels'
    share of entailment, or with `multi_label` each label's own probability of entailment against contradiction.
    Long text: touching windows, the same for each label, scores averaged by their tokens.
    """

    input_forms: ClassVar[tuple[InputFields, ...]] = (
        InputFields("text"),
        InputFields("sequence"),
        InputFields("sequences"),
    )
    cut: ClassVar[Cut] = "first"

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


def entailment(labels: Sequence[str]) -> int | None:
    """Return the column of entailment: the first label that begins with `entail`, as transformers finds it."""
    return next((i for i, label in enumerate(labels) if label.lower().startswith("entail")), None)
