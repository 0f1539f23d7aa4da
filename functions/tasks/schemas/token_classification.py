"""Parameters of token-classification; knows nothing of models."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from functions.tasks.task import Strings, Truncatable


class Parameters(Truncatable):
    """Every token gets a label; tokens of one entity are grouped.

    `aggregation_strategy`: `simple` groups tokens of one tag; `first`, `average`, `max` first give all tokens of a
    word, a run without spaces, one label: its first token's, that of their mean scores, or its surest token's;
    `none` groups nothing. No entity begins or ends inside a character as a person sees it. Entities whose
    label is in `ignore_labels` are left out. Long text: windows that overlap by an eighth; each token is judged by the
    window in which it stands most centrally. With `stride`, windows are full, share that many tokens, and their
    entities are merged: transformers' own way, which may begin an entity inside a word.
    """

    overlap: ClassVar[float] = 0.125

    aggregation_strategy: Literal["none", "simple", "first", "average", "max"] = "simple"
    ignore_labels: Annotated[Strings, Field(max_length=256)] = ("O",)
    stride: Annotated[int, Field(ge=0, le=4096)] | None = None

    @field_validator("stride")
    @classmethod
    def _with_groups(cls, value: int | None, info: ValidationInfo) -> int | None:
        """Refuse what transformers refuses: windows whose overlap is merged by groups, without groups."""
        if value is not None and info.data.get("aggregation_strategy") == "none":
            raise PydanticCustomError("stride", "no stride beside aggregation_strategy none")
        return value

    @property
    def shared_tokens(self) -> int | None:
        """How many tokens the caller wants windows to share."""
        return self.stride
