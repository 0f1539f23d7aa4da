"""Compares sentences with a source sentence by the cosine of their vectors.

Must not know how texts become tokens.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from functions.messages import TextInput, Window
from functions.tasks.postprocessing.output_rows import Answer, AnswerContext, RowsPerWindow
from functions.tasks.postprocessing.vectors import cosines
from functions.tasks.task import Assembler, InputFields, ReadsVectors, Task
from shared.messages import DEFAULT_POOLING


class Parameters(ReadsVectors):
    """Compares each sentence with the source sentence: the cosine of their vectors.

    `pooling` makes one vector of those of the tokens, and `prompt_name` puts a prompt before every text, as in
    feature-extraction. A long text is read in adjacent windows without overlap.
    """

    input_forms: ClassVar[tuple[InputFields, ...]] = (
        InputFields("source_sentence", texts="sentences"),
        InputFields("text", texts="texts"),
    )


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, RowsPerWindow]:
    """Name the tensor to read: `vectors` [windows, width]."""
    del parameters, target_ids
    return {"vectors": 1}


def value(
    context: AnswerContext[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> list[float]:
    """Return the cosine of each sentence with the source, in the sentences' order.

    The vector of a long text is made of its windows' as in feature-extraction.
    """
    del item
    return cosines(windows, answers, context.parameters.pooling or DEFAULT_POOLING, context.head)


TASK = Task("sentence-similarity", Parameters, list[float], Assembler(outputs, value))
