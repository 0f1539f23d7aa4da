"""Puts documents in the order of how well they answer a query.

Works on one logit for each window of each document, or on the vectors of an embedder. Must not know how texts become
tokens.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from functions.messages import TextInput, Window
from functions.tasks.postprocessing.output_rows import Answer, AnswerContext, RowsPerWindow, Vector, by_part
from functions.tasks.postprocessing.scores import sigmoid
from functions.tasks.postprocessing.vectors import cosines
from functions.tasks.task import (
    Assembler,
    InputFields,
    ReadsVectors,
    Task,
    TextPair,
    Truncatable,
    TruncationStrategy,
    pair_with_each,
)
from shared.catalog import EMBEDS, Head
from shared.errors import ReplicaError, Unprocessable
from shared.messages import DEFAULT_POOLING

PROMPT_NAMES = (("query",), ("document", "passage", "corpus"))  # of a query, and of documents: the first that is there


class Parameters(Truncatable):
    """Puts documents in the order of how well they answer a query.

    The `top_n` best are returned (null: all), each with its index, and with its text if `return_documents` is true. A
    score is the sigmoid of the head's only logit, or the logit itself with `function_to_apply` none; `default` is what
    the checkpoint declares, else sigmoid. The order is that of the logits. A long document is read in windows that
    overlap by an eighth, and its best window counts.

    An embedder ranks by the cosine of the vectors of query and document, each read alone, as in sentence-similarity;
    the cosine is the score.
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
        """Raise Unprocessable when the head has more than one logit to rank by, or weighs tokens alone."""
        if len(head.labels) > 1:
            raise Unprocessable(f"head {name} has {len(head.labels)} labels, expected a head of one label to rank by")
        if head.variant == "sparse":
            raise Unprocessable(f"head {name} answers with weights of tokens, expected one with vectors to rank by")
        if head.task == EMBEDS and self.function_to_apply == "sigmoid":
            found = f"parameters.function_to_apply: got sigmoid for head {name}"
            raise Unprocessable(f"{found}, expected default or none: its scores are cosines, not logits")

    def for_head(self, head: Head) -> Truncatable:
        """Return these parameters, or for an embedder those that read query and documents alone."""
        return ByVectors(**self.model_dump()).for_head(head) if head.task == EMBEDS else self


class ByVectors(ReadsVectors, Parameters):
    """The parameters of an embedder: query and documents are read alone. What it adds is no caller's to set.

    Prompts are those that sentence-transformers finds by name in `encode_query` and `encode_document`.
    """

    truncation_strategy: ClassVar[TruncationStrategy] = "longer"
    overlap: ClassVar[float] = 0.0

    def prompts_of(self, head: Head) -> tuple[str, str]:
        """Return the prompt of the query and that of the documents, "" where none is declared by such a name.

        The default prompt is for vectors alone: it would put the prompt of a query before documents.
        """
        query, document = (
            next((text for name in known if (text := head.prompts.get(name))), "") for known in PROMPT_NAMES
        )
        return query, document


class Ranked(TypedDict):
    """A document by its place in the request, with its score, and its text where it was asked for."""

    index: int
    score: float
    document: NotRequired[str]


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, RowsPerWindow]:
    """Name the tensor to read: `logits` [windows, 1]."""
    del parameters, target_ids
    return {"logits": 1}


def value(
    context: AnswerContext[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> list[Ranked]:
    """Return the `top_n` documents by score, best first; equals keep their order.

    A document counts as much as its best window (MaxP; Dai and Callan, 2019).
    """
    logits = [max(_only(answer["logits"][0]) for answer in theirs) for _, theirs in by_part(windows, answers)]
    apply, declared = context.parameters.function_to_apply, context.head.activation
    is_logit = apply == "none" or (apply == "default" and declared == "identity")
    scores = logits if is_logit else sigmoid(logits)
    return _ranked(context.parameters, item, logits, scores)


def vectors(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, RowsPerWindow]:
    """Name the tensor to read of an embedder: `vectors` [windows, width]."""
    del parameters, target_ids
    return {"vectors": 1}


def value_by_vectors(
    context: AnswerContext[ByVectors], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> list[Ranked]:
    """Return the `top_n` documents by the cosine of their vectors with the query's, best first."""
    found = cosines(windows, answers, context.parameters.pooling or DEFAULT_POOLING, context.head)
    return _ranked(context.parameters, item, found, found)


def _ranked(wanted: Parameters, item: TextInput, keys: Vector, scores: Vector) -> list[Ranked]:
    """Return the `top_n` documents by their keys, each with its score."""
    best = sorted(range(len(scores)), key=lambda index: -keys[index])[: wanted.top_n]
    found: list[Ranked] = [{"index": index, "score": scores[index]} for index in best]
    if wanted.return_documents:
        return [{**entry, "document": item.texts[index]} for entry, index in zip(found, best, strict=True)]
    return found


def _only(logits: Vector) -> float:
    if len(logits) != 1:
        raise ReplicaError(f"got {len(logits)} logits from the model server, expected 1 to rank by")
    return logits[0]


TASK: Task[Any] = Task(
    "rerank", Parameters, list[Ranked], Assembler(outputs, value), {EMBEDS: Assembler(vectors, value_by_vectors)}
)
