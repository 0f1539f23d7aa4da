"""What the parameters of every task share: strict types, no unknown names, and how long text is cut.

Must not know any one task.
"""

from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


MAX_STRING_CHARS = 256  # of a label or a target; texts have their own bounds

# One string or a list of them in JSON; always a tuple here.
String = Annotated[str, Field(max_length=MAX_STRING_CHARS)]
Strings = Annotated[tuple[String, ...], Strict(strict=False), BeforeValidator(_listed)]
TopK = Annotated[int, Field(ge=1, le=1000)]


class Common(BaseModel):
    """Base of every task's parameters.

    `takes_pairs`: inputs may carry a `text_pair`. `overlap`: the share of a window's room that the
    next window reads again when a text is longer than the model (0 = windows that only touch).
    `around_masks`: windows are laid around mask tokens rather than over the whole text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    takes_pairs: ClassVar[bool] = False
    overlap: ClassVar[float] = 0.0
    around_masks: ClassVar[bool] = False

    @property
    def cuts(self) -> bool:
        """Whether the caller asked that a text too long for the model is cut to its first window."""
        return False


class Cutting(Common):
    """Parameters of a task that offers `truncation`: read the first window only, as transformers does."""

    truncation: bool = False

    @property
    def cuts(self) -> bool:
        """Whether the caller asked that a text too long for the model is cut to its first window."""
        return self.truncation
