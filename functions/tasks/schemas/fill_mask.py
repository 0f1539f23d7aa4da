"""Parameters of fill-mask; knows nothing of models."""

from typing import Annotated, ClassVar

from pydantic import Field

from functions.tasks.task import Cut, ReadsPairs, Strings, TopK


class Parameters(ReadsPairs):
    """Each mask gets its `top_k` most probable tokens, or the best of `targets` when given.

    A target that is not one token of the vocabulary stands for its first token. Long text: one
    window around each group of masks that fits in one; a pair must fit in one window.
    """

    cut: ClassVar[Cut] = "masks"
    sends: ClassVar[tuple[str, ...]] = ("top_k",)

    top_k: TopK = 5
    targets: Annotated[Strings, Field(min_length=1, max_length=256)] | None = None
