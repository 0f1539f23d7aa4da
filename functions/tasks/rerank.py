"""Puts documents in the order of how well they answer a query.

Works on one logit for each window of each document. Must not know how texts become tokens.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from functions.messages import TextInput, Window
from functions.tasks.postprocessing.output_rows import Answer, AnswerContext, RowsPerWindow, Vector, by_part
from functions.tasks.postprocessing.scores import sigmoid
from functions.tasks.task import Assembler, InputFields, Task, TextPair, Truncatable, TruncationStrategy, pair_with_each
from shared.catalog import Head
from shared.errors import ReplicaError, Unprocessable


class Parameters(Truncatable):
    """Puts documents in the order of how well they answer a query.

    The `top_n` best are returned (null: all), each with its index, and with its text if `return_documents` is true. A
    score is the sigmoid of the head's only logit, or the logit itself with `function_to_apply` none. A long document is
    read in windows that overlap by an eighth, and its best window counts.
    """

    input_forms: ClassVar[tuple[InputFields, ...]] = (
        InputFields("query", texts="documents"),
        InputFields("query", texts="texts"),
    )
    truncation_strategy: ClassVar[TruncationStrategy] = "second"
    overlap: ClassVar[float] = 0.125

    top_n: Annotated[int, Field(ge=1, le=1000)] | None = None
    return_documents: bool = False
    function_to_apply: Literal["default", "none", "sigmoid"] = "default"

    def text_pairs(self, item: TextInput) -> Sequence[TextPair]:
        """Return the query beside each document."""
        return pair_with_each(item)

    def check_head(self, name: str, head: Head) -> None:
        """Raise Unprocessable when the head has more than one logit to rank by."""
        if len(head.labels) > 1:
            raise Unprocessable(f"head {name} has {len(head.labels)} labels, expected a head of one label to rank by")


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, RowsPerWindow]:
    """Name the tensor to read: `logits` [windows, 1]."""
    del parameters, target_ids
    return {"logits": 1}


def value(
    context: AnswerContext[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> list[dict[str, object]]:
    """Return the `top_n` documents by score, best first; equals keep their order.

    A document counts as much as its best window (MaxP; Dai and Callan, 2019).
    """
    logits = [max(_only(answer["logits"][0]) for answer in theirs) for _, theirs in by_part(windows, answers)]
    scores = logits if context.parameters.function_to_apply == "none" else sigmoid(logits)
    best = sorted(range(len(scores)), key=lambda index: -logits[index])[: context.parameters.top_n]
    found: list[dict[str, object]] = [{"index": index, "score": scores[index]} for index in best]
    if context.parameters.return_documents:
        return [{**entry, "document": item.texts[index]} for entry, index in zip(found, best, strict=True)]
    return found


def _only(logits: Vector) -> float:
    if len(logits) != 1:
        raise ReplicaError(f"got {len(logits)} logits from the model server, expected 1 to rank by")
    return logits[0]


TASK = Task("rerank", Parameters, Assembler(outputs, value))
