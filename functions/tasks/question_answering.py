"""Finds the spans of a context that answer a question, as the pipeline of transformers 4.57 does.

The beam head of XLM has a file of its own. Must not know how texts become tokens.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from functions.messages import TextInput, Window
from functions.tasks.postprocessing.answer_spans import (
    AnswerSpan,
    add_answer,
    best_spans,
    probabilities,
    score_of,
    text_span,
)
from functions.tasks.postprocessing.graphemes import Clusters
from functions.tasks.postprocessing.output_rows import Answer, AnswerContext, RowsPerWindow
from functions.tasks.task import Assembler, InputFields, Task, TaskParameters, TruncationStrategy

USUAL_WINDOW, USUAL_STRIDE = 384, 128


class Parameters(TaskParameters):
    """Finds the `top_k` answers to a question: spans of the context, at most `max_answer_len` tokens each.

    A long context is read in windows of `max_seq_len` tokens, question included. Neighbouring windows share
    `doc_stride` tokens of the context. A question may take up to seven eighths of a window. With
    `handle_impossible_answer`, the empty answer is one of the candidates. `align_to_words` extends answers to whole
    words; in scripts without spaces, such as those of Japanese and Thai, to whole characters. Names and defaults are
    those of transformers 4.57, the last version with this pipeline.
    """

    input_forms: ClassVar[tuple[InputFields, ...]] = (
        InputFields("question", "context", needs_pair=True),
        InputFields("text", "text_pair", needs_pair=True),
    )
    truncation_strategy: ClassVar[TruncationStrategy] = "second"

    top_k: Annotated[int, Field(ge=1, le=100)] = 1
    doc_stride: Annotated[int, Field(ge=0, le=8192)] | None = None
    max_seq_len: Annotated[int, Field(ge=8, le=8192)] | None = None
    max_answer_len: Annotated[int, Field(ge=1, le=8192)] = 15
    handle_impossible_answer: bool = False
    align_to_words: bool = True

    @property
    def returns_one(self) -> bool:
        """Whether the caller asked for the best answer alone."""
        return self.top_k == 1

    def window_tokens(self, most: int) -> int:
        """Return how many tokens a window holds, special ones included, for a model that takes `most`."""
        return min(most, self.max_seq_len or USUAL_WINDOW)

    @property
    def shared_tokens(self) -> int:
        """How many tokens of the context neighbouring windows share."""
        return USUAL_STRIDE if self.doc_stride is None else self.doc_stride

    def overlap_tokens(self, window: int, room: int) -> int:
        """Return how many tokens of the context neighbours share. The default stride shrinks in small windows."""
        if self.doc_stride is not None:
            return self.doc_stride
        usual = min(window // 2, USUAL_STRIDE)
        return usual if usual < room else room // 2


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, RowsPerWindow]:
    """Name the tensors to read: `start` and `end` [tokens]."""
    del parameters, target_ids
    return {"start": "token", "end": "token"}


def value(
    context: AnswerContext[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> AnswerSpan | list[AnswerSpan]:
    """Return the best answer, or a list of the best when `top_k` is above 1 and there are several.

    In each window, start and end are a softmax over the tokens of the context and the classifying token. The product
    at the classifying token is the score of no answer. The scores of equal answers (ignoring case) are added up.
    """
    parameters, text = context.parameters, item.text_pair or ""
    clusters = Clusters(text)
    found: dict[str, AnswerSpan] = {}
    none_score = 1_000_000.0  # as in the reference: the least score of no answer in any window
    for window, answer in zip(windows, answers, strict=True):
        start, end, none = probabilities(context.tokenizer.layout, window, answer)
        none_score = min(none_score, none)
        n_wanted = parameters.top_k * 2 + 10 if parameters.align_to_words else parameters.top_k
        for score, first, last in best_spans(start, end, n_wanted, parameters.max_answer_len):
            span = text_span(window, clusters, first, last, whole_words=parameters.align_to_words)
            add_answer(found, text, span, score)
    ranked = list(found.values())
    if parameters.handle_impossible_answer:
        ranked.append({"score": none_score, "start": 0, "end": 0, "answer": ""})
    ranked = sorted(ranked, key=score_of, reverse=True)[: parameters.top_k]
    return ranked[0] if len(ranked) == 1 else ranked


TASK = Task("question-answering", Parameters, AnswerSpan | list[AnswerSpan], Assembler(outputs, value))
