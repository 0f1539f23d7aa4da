"""Parameters of question-answering; knows nothing of models."""

from typing import Annotated, ClassVar

from pydantic import Field

from functions.tasks.task import Cut, InputFields, TaskParameters

USUAL_WINDOW, USUAL_STRIDE = 384, 128


class Parameters(TaskParameters):
    """A question gets its `top_k` answers: spans of the context, at most `max_answer_len` tokens each.

    Long contexts are read in windows of `max_seq_len` tokens, question included, that share `doc_stride` tokens of the
    context. `handle_impossible_answer` lets the empty answer compete; `align_to_words` widens answers to whole words.
    Names and defaults are those of transformers 4.57, which was the last to have this pipeline.
    """

    input_forms: ClassVar[tuple[InputFields, ...]] = (
        InputFields("question", "context", needs_pair=True),
        InputFields("text", "text_pair", needs_pair=True),
    )
    cut: ClassVar[Cut] = "second"

    top_k: Annotated[int, Field(ge=1, le=100)] = 1
    doc_stride: Annotated[int, Field(ge=0, le=8192)] | None = None
    max_seq_len: Annotated[int, Field(ge=8, le=8192)] | None = None
    max_answer_len: Annotated[int, Field(ge=1, le=8192)] = 15
    handle_impossible_answer: bool = False
    align_to_words: bool = True

    def window_tokens(self, most: int) -> int:
        """Return how many tokens a window holds, special ones included, for a model that takes `most`."""
        return min(most, self.max_seq_len or USUAL_WINDOW)

    @property
    def shared_tokens(self) -> int:
        """How many tokens of the context neighbouring windows share."""
        return USUAL_STRIDE if self.doc_stride is None else self.doc_stride

    def overlap_tokens(self, window: int, room: int) -> int:
        """Return the same; a stride that nobody asked for leaves the windows room to move."""
        if self.doc_stride is not None:
            return self.doc_stride
        usual = min(window // 2, USUAL_STRIDE)
        return usual if usual < room else room // 2
