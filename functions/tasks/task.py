"""What the parameters of every task share: strict types, no unknown names, how an input is read, how long text is cut.

Must not know any one task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict

from shared.catalog import Head
from shared.messages import Sampling, TextInput


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


MAX_STRING_CHARS = 256  # of a label or a target; texts have their own bounds

# One string or a list of them in JSON; always a tuple here.
String = Annotated[str, Field(max_length=MAX_STRING_CHARS)]
Strings = Annotated[tuple[String, ...], Strict(strict=False), BeforeValidator(_listed)]
TopK = Annotated[int, Field(ge=1, le=1000)]

# Which text gives way when a reading is longer than a window:
#   longer   a single text is cut into windows; of a pair the longer text, when the shorter takes at most half
#   first    the first text of a pair, by the same places in all readings of an input; the second stays whole
#   second   the second text of a pair; the first stays whole
#   masks    windows are laid around mask tokens; a pair must fit
#   whole    none: what does not fit is refused
#   start    as whole; with `truncation` the end of the text is kept, not its start
Cut = Literal["longer", "first", "second", "masks", "whole", "start"]


@dataclass(frozen=True, slots=True)
class InputFields:
    """One way to spell an input: the names of its text, of the text read with it, and of the list of texts."""

    text: str = "text"
    pair: str | None = None
    texts: str | None = None
    needs_pair: bool = False

    @property
    def plain(self) -> bool:
        """Whether a mere string says it all."""
        return not self.needs_pair and self.texts is None

    @property
    def names(self) -> tuple[str, ...]:
        """Every name, `lang` included."""
        return (*(name for name in (self.text, self.pair, self.texts) if name is not None), "lang")


@dataclass(frozen=True, slots=True)
class TextPair:
    """What the model reads at once: a text or a pair, each with its language."""

    text: str
    pair: str | None = None
    lang: str | None = None
    lang_pair: str | None = None


class TaskParameters(BaseModel):
    """Base of every task's parameters, and the few facts by which the desks treat a task.

    `input_forms`: the names an input's parts go by, the first in messages. `cut`: which text gives way when
    a reading is too long; `overlap`: the share of a window's room that the next window reads again (0: windows only
    touch). `sends`: parameters that go to the model server under their own names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    input_forms: ClassVar[tuple[InputFields, ...]] = (InputFields(),)
    cut: ClassVar[Cut] = "longer"
    overlap: ClassVar[float] = 0.0
    sends: ClassVar[tuple[str, ...]] = ()

    @property
    def cuts(self) -> bool:
        """Whether the caller asked that a text too long for the model is cut to its first window."""
        return False

    @property
    def shared_tokens(self) -> int | None:
        """How many tokens neighbouring windows are to share: then windows are full, as the reference lays them."""
        return None

    @property
    def resets_positions(self) -> bool:
        """Whether positions start again at 0 with the second text of a pair."""
        return False

    @property
    def sampling(self) -> Sampling | None:
        """How a generating head continues each reading."""
        return None

    def text_pairs(self, item: TextInput) -> Sequence[TextPair]:
        """Return what of an input is read at once, each a part of its own. Here: the text with its pair."""
        return (TextPair(item.text, item.text_pair, item.lang, item.lang_pair or item.lang),)

    def window_tokens(self, most: int) -> int:
        """Return how many tokens a window holds, special ones included, for a model that takes `most`."""
        return most

    def overlap_tokens(self, window: int, room: int) -> int:
        """Return how many tokens of a text that has `room` in each window of `window` tokens neighbours share."""
        del window
        return int(room * self.overlap) if self.shared_tokens is None else self.shared_tokens

    def check_head(self, name: str, head: Head) -> None:
        """Raise Unprocessable when the task cannot read the answers of a head that does it in principle."""


class Truncatable(TaskParameters):
    """Parameters of a task that offers `truncation`: read the first window only, as transformers does."""

    truncation: bool = False

    @property
    def cuts(self) -> bool:
        """Whether the caller asked that a text too long for the model is cut to its first window."""
        return self.truncation


class ReadsPairs(TaskParameters):
    """Parameters of a task that may read pairs. `position_reset` is for translations, as XLM was trained on them."""

    input_forms: ClassVar[tuple[InputFields, ...]] = (InputFields(pair="text_pair"),)

    position_reset: bool = False

    @property
    def resets_positions(self) -> bool:
        """Whether positions start again at 0 with the second text of a pair."""
        return self.position_reset


def beside(item: TextInput) -> tuple[TextPair, ...]:
    """Return one reading for each of an input's texts, each beside its text."""
    langs = item.lang, item.lang_pair or item.lang
    return tuple(TextPair(item.text, text, *langs) for text in item.texts)
