"""Parameters of text-generation; knows nothing of models."""

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from functions.tasks.task import Cut, InputFields, Truncatable
from shared.errors import Unprocessable
from shared.messages import Sampling


class Parameters(Truncatable):
    """A prompt is continued by at most `max_new_tokens` tokens, `num_return_sequences` times.

    Greedy unless `do_sample`; then the next token is drawn among the `top_k` likeliest (0: all) that make up `top_p`
    of the probability, at `temperature`, from `seed`. The prompt is read with its special tokens, as transformers'
    pipeline does. Prompt and continuation must fit in the model, unless `truncation`: then the prompt loses its start.
    """

    input_forms: ClassVar[tuple[InputFields, ...]] = (InputFields("text"), InputFields("prompt"))
    cut: ClassVar[Cut] = "start"

    max_new_tokens: Annotated[int, Field(ge=1, le=4096)] = 20
    do_sample: bool = False
    temperature: Annotated[float, Field(gt=0, le=100)] = 1.0
    top_k: Annotated[int, Field(ge=0, le=1000)] = 50
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    num_return_sequences: Annotated[int, Field(ge=1, le=16)] = 1
    seed: Annotated[int, Field(ge=0, le=2**53)] = 0
    return_full_text: bool = True

    @model_validator(mode="after")
    def _draws_for_each_sequence(self) -> Self:
        """Refuse what transformers refuses: greedy sequences are all the same."""
        if self.num_return_sequences > 1 and not self.do_sample:
            found = f"num_return_sequences {self.num_return_sequences} without do_sample"
            raise Unprocessable(f"parameters: got {found}, expected 1: greedy sequences are all the same")
        return self

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
