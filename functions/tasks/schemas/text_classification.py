"""Parameters of text-classification; knows nothing of models."""

from typing import Literal

from functions.tasks.task import ReadsPairs, TopK, Truncatable


class Parameters(ReadsPairs, Truncatable):
    """A text or a pair gets labels with scores.

    `top_k` labels are returned, best first (null: all). `function_to_apply` turns logits into
    scores; `default` asks the head: none for regression, sigmoid for several labels at once or a single label,
    softmax else. Long text: touching windows, scores averaged by their content tokens.
    """

    top_k: TopK | None = 1
    function_to_apply: Literal["default", "none", "sigmoid", "softmax"] = "default"
