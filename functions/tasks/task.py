"""What a task is: typed parameters, the forms its inputs take, the windows it wants, and its assembler.

`TextRequest` is here too, beside the type of its parameters. Must not know any one task, nor models or tokenizers'
insides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, PrivateAttr, Strict

from functions.json_objects import JsonObject
from functions.messages import TextInput, Window
from functions.tasks.postprocessing.output_rows import Answer, AnswerContext, RowsPerWindow
from shared.catalog import Head
from shared.errors import Unprocessable
from shared.limits import MAX_TOP_K
from shared.messages import Pooling, Priority, Sampling


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


MAX_STRING_CHARS = 256  # of a label or a target; texts have limits of their own

# JSON may hold one string or a list of strings; here it is always a tuple.
String = Annotated[str, Field(max_length=MAX_STRING_CHARS)]
Strings = Annotated[tuple[String, ...], Strict(strict=False), BeforeValidator(_listed)]
TopK = Annotated[int, Field(ge=1, le=MAX_TOP_K)]

# What happens when a text does not fit in one window. `pipeline/truncation.py` has the rules; `pipeline/tokenize.py`
# handles masks in a single text.
#   longer     a single text is split into windows; of a pair, the longer text is, if the shorter takes at most half
#   first      the first text of a pair is split, at the same places for all pairs of an input; the second stays whole
#   second     the second text of a pair is split; the first stays whole
#   masks      windows surround the mask tokens; a pair must fit in one window
#   whole      nothing is split: a text that does not fit is refused
#   keep_end   nothing is split; with `truncation` the start of the text is dropped, and its end is kept
TruncationStrategy = Literal["longer", "first", "second", "masks", "whole", "keep_end"]


@dataclass(frozen=True, slots=True)
class InputFields:
    """One form of an input: the names of its text, of the text read with it, and of the list of texts."""

    text: str = "text"
    pair: str | None = None
    texts: str | None = None
    needs_pair: bool = False

    @property
    def plain(self) -> bool:
        """Whether a plain string is enough."""
        return not self.needs_pair and self.texts is None

    @property
    def names(self) -> tuple[str, ...]:
        """Every name, `lang` included."""
        return (*(name for name in (self.text, self.pair, self.texts) if name is not None), "lang")

    def smallest(self, text: str) -> TextInput:
        """Return the smallest input of this form, with `text` in every place that must be filled."""
        return TextInput(text, text if self.needs_pair else None, (text,) if self.texts else ())


@dataclass(frozen=True, slots=True)
class TextPair:
    """What the model reads at once: a text or a pair of texts, each with its language."""

    text: str
    pair: str | None = None
    lang: str | None = None
    lang_pair: str | None = None


@dataclass(frozen=True, slots=True)
class WindowRule:
    """How the texts of one request are split into windows.

    `truncates`: the caller asked to keep the first window only. `full`: windows are as full as they can be and share
    a fixed number of tokens, as in transformers. `overlap_tokens(window, room)` says how many tokens of a text that
    has `room` in each window of `window` tokens two neighbouring windows share.
    """

    strategy: TruncationStrategy
    truncates: bool
    full: bool
    overlap_tokens: Callable[[int, int], int]


class TaskParameters(JsonObject):
    """Base of every task's parameters, with the facts by which the pipeline treats a task.

    `input_forms`: the forms an input may take; messages speak of the first. `truncation_strategy`: what happens to a
    long text. `overlap`: the share of a window's room that the next window reads again. `call_fields`: the parameters
    that go to the model server, under the same names.
    """

    model_config = ConfigDict(strict=True)

    input_forms: ClassVar[tuple[InputFields, ...]] = (InputFields(),)
    truncation_strategy: ClassVar[TruncationStrategy] = "longer"
    overlap: ClassVar[float] = 0.0
    call_fields: ClassVar[tuple[str, ...]] = ()

    @property
    def truncates(self) -> bool:
        """Whether the caller asked to keep only the first window of a text that is too long."""
        return False

    @property
    def shared_tokens(self) -> int | None:
        """How many tokens neighbouring windows must share. If set, windows are full, as in transformers."""
        return None

    @property
    def resets_positions(self) -> bool:
        """Whether positions start again at 0 with the second text of a pair."""
        return False

    @property
    def sampling(self) -> Sampling | None:
        """How a generating head continues each text."""
        return None

    @property
    def target_words(self) -> tuple[str, ...]:
        """Words whose scores the caller wants at each mask."""
        return ()

    @property
    def answers_per_token(self) -> bool:
        """Whether the answer holds a vector for each token, and so grows with the text."""
        return False

    @property
    def returns_one(self) -> bool:
        """Whether the caller asked for the best guess alone."""
        return False

    @property
    def window_rule(self) -> WindowRule:
        """How texts of this request are split into windows."""
        return WindowRule(self.truncation_strategy, self.truncates, self.shared_tokens is not None, self.overlap_tokens)

    def text_pairs(self, item: TextInput) -> Sequence[TextPair]:
        """Return what the model reads for an input, each a part of its own. Here: the text with its pair."""
        return (TextPair(item.text, item.text_pair, item.lang, item.lang_pair or item.lang),)

    def window_tokens(self, most: int) -> int:
        """Return how many tokens a window holds, special ones included, for a model that takes `most`."""
        return most

    def overlap_tokens(self, window: int, room: int) -> int:
        """Return how many tokens neighbours share of a text that has `room` in each window of `window` tokens."""
        del window
        return int(room * self.overlap) if self.shared_tokens is None else self.shared_tokens

    def check_head(self, name: str, head: Head) -> None:
        """Raise Unprocessable when the task cannot read the answers of this head."""

    def for_head(self, head: Head) -> TaskParameters:
        """Return the parameters as the head that answers reads them. Here: unchanged.

        The pipeline asks once the head is chosen. Later stages see what is returned.
        """
        del head
        return self

    def fields_of_call(self) -> dict[str, Any]:
        """Return the parameters that go to the model server, by name."""
        return {name: getattr(self, name) for name in self.call_fields}


class Truncatable(TaskParameters):
    """Parameters of a task that offers `truncation`: read the first window only, as transformers does."""

    truncation: bool = False

    @property
    def truncates(self) -> bool:
        """Whether the caller asked to keep only the first window of a text that is too long."""
        return self.truncation


class ReadsVectors(Truncatable):
    """Parameters of a task that reads the vectors of an embedder. What is not asked for is as the head declares it.

    `prompt_name` names one of the prompts that the head declares, "" none of them. A prompt stands before the text, as
    in sentence-transformers.
    """

    call_fields: ClassVar[tuple[str, ...]] = ("pooling",)

    pooling: Pooling | None = None
    prompt_name: Annotated[str, Field(max_length=64)] | None = None
    _prompts: tuple[str, str] = PrivateAttr(("", ""))  # before the first text of an input, and before its others

    def check_head(self, name: str, head: Head) -> None:
        """Raise Unprocessable when the head declares no prompt of that name."""
        if self.prompt_name and self.prompt_name not in head.prompts:
            known = f"one of {', '.join(sorted(head.prompts))}" if head.prompts else "none: it declares no prompts"
            raise Unprocessable(f"parameters.prompt_name: got {self.prompt_name!a} for head {name}, expected {known}")

    def prompts_of(self, head: Head) -> tuple[str, str]:
        """Return what stands before the first text of an input, and before its others."""
        named = head.default_prompt if self.prompt_name is None else self.prompt_name
        prompt = head.prompts.get(named, "")
        return prompt, prompt

    def for_head(self, head: Head) -> Self:
        """Return the parameters with the pooling and the prompts of the head, where the caller chose none."""
        found = self.model_copy(update={"pooling": self.pooling or head.pooling})
        found._prompts = self.prompts_of(head)  # noqa: SLF001 - a copy of itself
        return found

    def text_pairs(self, item: TextInput) -> Sequence[TextPair]:
        """Return the text of an input, then each of its others, all alone, each behind its prompt."""
        first, other = self._prompts
        lang = item.lang_pair or item.lang
        others = [TextPair(other + text, lang=lang) for text in item.texts]
        return [TextPair(first + item.text, lang=item.lang), *others]


class ReadsPairs(TaskParameters):
    """Parameters of a task that may read pairs. `position_reset` is for translations, as XLM was trained on them."""

    input_forms: ClassVar[tuple[InputFields, ...]] = (InputFields(pair="text_pair"),)

    position_reset: bool = False

    @property
    def resets_positions(self) -> bool:
        """Whether positions start again at 0 with the second text of a pair."""
        return self.position_reset


def pair_with_each(item: TextInput) -> tuple[TextPair, ...]:
    """Return the input's text paired with each of its other texts."""
    langs = item.lang, item.lang_pair or item.lang
    return tuple(TextPair(item.text, text, *langs) for text in item.texts)


P = TypeVar("P", bound=TaskParameters)


@dataclass(frozen=True, slots=True)
class Assembler(Generic[P]):
    """Makes one JSON-ready value of a model's answers for one input.

    `outputs(parameters, target_ids)` names the tensors to read, and how many rows of each belong to a window.
    `value(context, item, windows, answers)` makes the value of one input.
    """

    outputs: Callable[[P, Sequence[int]], Mapping[str, RowsPerWindow]]
    value: Callable[[AnswerContext[P], TextInput, Sequence[Window], Sequence[Answer]], object]


@dataclass(frozen=True, slots=True)
class Task(Generic[P]):
    """One task: its name in routes, the type of its parameters, that of its values, and its assembler.

    `head_variants` holds other assemblers, for heads that answer with other tensors: by the catalog's `variant`, or by
    the head's own task. A variant that is not there answers with the usual tensors, as `linear` does.
    """

    name: str
    parameters: type[P]
    value: Any  # a type, such as list[Label]; the OpenAPI document says it to callers
    assembler: Assembler[P]
    head_variants: Mapping[str, Assembler[P]] = field(default_factory=dict)

    def assembler_for(self, head: Head) -> Assembler[P]:
        """Return what makes answers of a head's tensors."""
        return self.head_variants.get(head.variant or head.task, self.assembler)


@dataclass(frozen=True, slots=True)
class TextRequest:
    """What a caller asks: a task over `inputs`, validated, with the task's own parameters.

    `model` is `name[:head]`, or None for the task's default. `deadline_s` is on the monotonic clock of this process.
    `fallback`: the stand-in of the model may answer while the model cannot.
    """

    task: str
    inputs: tuple[TextInput, ...]
    parameters: TaskParameters
    model: str | None = None
    tenant: str = "local"
    priority: Priority = "interactive"
    deadline_s: float = float("inf")
    fallback: bool = False
