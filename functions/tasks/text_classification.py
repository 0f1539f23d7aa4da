"""Gives a text, or a pair of texts, its labels with scores.

Works on the logits of a classification head. Must not know how texts become tokens.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from typing_extensions import TypedDict

from functions.messages import TextInput, Window
from functions.tasks.postprocessing.output_rows import Answer, AnswerContext, RowsPerWindow, Vector
from functions.tasks.postprocessing.scores import mean, sigmoid, softmax
from functions.tasks.task import Assembler, ReadsPairs, Task, TopK, Truncatable
from shared.catalog import Head
from shared.errors import ReplicaError


class Parameters(ReadsPairs, Truncatable):
    """Gives a text, or a pair of texts, labels with scores.

    `top_k` labels are returned, best first; null returns all. `function_to_apply` turns logits into scores. `default`
    depends on the head: what the checkpoint declares (`activation_fn` of its config.json), else none for regression,
    sigmoid for a head that may give several labels or has only one, and softmax for all others. A long text is read in
    adjacent windows without overlap. The scores of its windows are averaged, weighted by their tokens without special
    ones.
    """

    top_k: TopK | None = 1
    function_to_apply: Literal["default", "none", "sigmoid", "softmax"] = "default"

    @property
    def returns_one(self) -> bool:
        """Whether the caller asked for the best label alone."""
        return self.top_k == 1


class Label(TypedDict):
    """A label, and how well it fits."""

    label: str
    score: float


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, RowsPerWindow]:
    """Name the tensor to read: `logits` [windows, labels]."""
    del parameters, target_ids
    return {"logits": 1}


def value(
    context: AnswerContext[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> list[Label]:
    """Return the `top_k` labels, best first: scores of windows averaged by their content tokens."""
    del item
    apply = FUNCTIONS[_function(context.parameters, context.head)]
    weights = [window.n_content_tokens for window in windows] if len(windows) > 1 else [1]
    scores = mean([apply(answer["logits"][0]) for answer in answers], weights)
    labels = context.head.labels
    if len(labels) != len(scores):
        raise ReplicaError(
            f"got {len(scores)} logits from the model server, expected {len(labels)}, one for each label"
        )
    logits = mean([answer["logits"][0] for answer in answers], weights)  # they tell apart scores that round to 1
    best = sorted(zip(scores, logits, labels, strict=True), key=lambda entry: (-entry[0], -entry[1]))
    return [{"label": label, "score": score} for score, _, label in best[: context.parameters.top_k]]


def _as_it_is(logits: Vector) -> Vector:
    return logits


FUNCTIONS: Mapping[str, Callable[[Vector], Vector]] = {"none": _as_it_is, "sigmoid": sigmoid, "softmax": softmax}


def _function(parameters: Parameters, head: Head) -> str:
    """Return the function's name; for `default` what the head declares, else the rule of transformers' pipeline."""
    if parameters.function_to_apply != "default":
        return parameters.function_to_apply
    if head.activation:
        return "none" if head.activation == "identity" else head.activation
    if head.problem_type == "regression":
        return "none"
    if head.problem_type == "multi_label_classification" or len(head.labels) == 1:
        return "sigmoid"
    return "softmax"


TASK = Task("text-classification", Parameters, list[Label], Assembler(outputs, value))
