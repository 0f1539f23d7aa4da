"""Continues a prompt, and returns the new text alone or after the prompt.

Must not know how the model chooses a token.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator
from typing_extensions import TypedDict

from functions.messages import TextInput, Window
from functions.tasks.postprocessing.output_rows import Answer, AnswerContext, Counted, RowsPerWindow, read_back
from functions.tasks.task import Assembler, InputFields, Task, Truncatable, TruncationStrategy
from shared.errors import Unprocessable
from shared.limits import MAX_NEW_TOKENS, MAX_SEED, MAX_SEQUENCES, MAX_TEMPERATURE, MAX_TOP_K
from shared.messages import Sampling

DEFAULTS = Sampling()


class Parameters(Truncatable):
    """Continues a prompt by at most `max_new_tokens` tokens, `num_return_sequences` times.

    Without `do_sample` the likeliest token is taken. With it, the next token is drawn at `temperature` from the `top_k`
    likeliest (0: all) that make up `top_p` of the probability; `seed` makes this repeatable. The prompt is read with
    its special tokens, as in the pipeline of transformers. Prompt and continuation must fit in the model. With
    `truncation`, the prompt loses its start.
    """

    input_forms: ClassVar[tuple[InputFields, ...]] = (InputFields("text"), InputFields("prompt"))
    truncation_strategy: ClassVar[TruncationStrategy] = "keep_end"

    max_new_tokens: Annotated[int, Field(ge=1, le=MAX_NEW_TOKENS)] = DEFAULTS.max_new_tokens
    do_sample: bool = DEFAULTS.do_sample
    temperature: Annotated[float, Field(gt=0, le=MAX_TEMPERATURE)] = DEFAULTS.temperature
    top_k: Annotated[int, Field(ge=0, le=MAX_TOP_K)] = DEFAULTS.top_k
    top_p: Annotated[float, Field(gt=0, le=1)] = DEFAULTS.top_p
    num_return_sequences: Annotated[int, Field(ge=1, le=MAX_SEQUENCES)] = DEFAULTS.num_return_sequences
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = DEFAULTS.seed
    return_full_text: bool = True

    @model_validator(mode="after")
    def _draws_for_each_sequence(self) -> Self:
        """Refuse what transformers refuses: greedy sequences are all the same."""
        if self.num_return_sequences > 1 and not self.do_sample:
            found = f"num_return_sequences {self.num_return_sequences} without do_sample"
            raise Unprocessable(f"parameters: got {found}, expected 1: greedy sequences are all the same")
        return self

    @property
    def returns_one(self) -> bool:
        """Whether the only sequence is returned without a list on the command line: when one token is considered."""
        return self.top_k == 1

    @property
    def sampling(self) -> Sampling:
        """How a generating head continues each prompt."""
        return Sampling(
            max_new_tokens=self.max_new_tokens,
            do_sample=self.do_sample,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            num_return_sequences=self.num_return_sequences,
            seed=self.seed,
        )

    def window_tokens(self, most: int) -> int:
        """Return how many tokens a prompt may have, special ones included, for a model that takes `most`."""
        if self.max_new_tokens >= most:
            found = f"parameters.max_new_tokens: got {self.max_new_tokens}"
            raise Unprocessable(f"{found}, expected less than the {most} tokens that the model takes with the prompt")
        return most - self.max_new_tokens


class Continuation(TypedDict):
    """The new text, after the prompt unless it was left out."""

    generated_text: str


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, RowsPerWindow]:
    """Name the tensors to read: how many new tokens each sequence of a prompt has, and their ids."""
    del target_ids
    return {"row_lengths": parameters.num_return_sequences, "ids": Counted("row_lengths")}


def value(
    context: AnswerContext[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> list[Continuation]:
    """Return each sequence's text as transformers' pipeline makes it: the new tokens, decoded by themselves.

    With `return_full_text` the prompt stands before them as it was received, cut or not.
    """
    del windows
    [answer] = answers
    before = item.text if context.parameters.return_full_text else ""
    ids = [int(token) for [token] in answer["ids"]]
    found: list[Continuation] = []
    start = 0
    for [length] in answer["row_lengths"]:
        new = ids[start : start + int(length)]
        found.append({"generated_text": before + read_back(context, new, skip_special=True)})
        start += int(length)
    return found


TASK = Task("text-generation", Parameters, list[Continuation], Assembler(outputs, value))
