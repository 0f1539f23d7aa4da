"""Gives each of an input's choices the probability that it goes with the text.

Must not know how texts become tokens.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from typing_extensions import TypedDict

from functions.messages import TextInput, Window
from functions.tasks.postprocessing.output_rows import Answer, AnswerContext, RowsPerWindow
from functions.tasks.postprocessing.scores import softmax
from functions.tasks.task import Assembler, InputFields, Task, TextPair, Truncatable, TruncationStrategy, pair_with_each


class Parameters(Truncatable):
    """Gives each choice the probability that it fits the text.

    Text and choice must fit in one window. With `truncation`, the longer of the two loses its end.
    """

    input_forms: ClassVar[tuple[InputFields, ...]] = (
        InputFields("text", texts="choices"),
        InputFields("prompt", texts="choices"),
    )
    truncation_strategy: ClassVar[TruncationStrategy] = "whole"

    def text_pairs(self, item: TextInput) -> Sequence[TextPair]:
        """Return the text beside each choice."""
        return pair_with_each(item)


class Choice(TypedDict):
    """A choice, its place in the request, and its probability."""

    index: int
    choice: str
    score: float


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, RowsPerWindow]:
    """Name the tensor to read: `logits` [windows, 1]."""
    del parameters, target_ids
    return {"logits": 1}


def value(
    context: AnswerContext[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> list[Choice]:
    """Return each choice with its index and the softmax over the choices' logits, best first."""
    del context, windows
    scores = softmax([answer["logits"][0][0] for answer in answers])
    best = sorted(enumerate(scores), key=lambda pair: -pair[1])
    return [{"index": index, "choice": item.texts[index], "score": score} for index, score in best]


TASK = Task("multiple-choice", Parameters, list[Choice], Assembler(outputs, value))
