"""Frozen messages that the Lambda side alone passes on, in the order of a request.

    TextRequest (functions/tasks/task.py) -> Route -> Tokenized -> InferCall, ModelOutput (shared/messages.py) -> Result

Data, and views of it. Must not know how a stage works, nor any library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from shared.catalog import SizeClass
from shared.errors import GlossaError


@dataclass(frozen=True, slots=True)
class TextInput:
    """One input of a request: a text, a pair of texts, or a text with others that are compared with it.

    `text` is exactly what the caller sent. `text_pair` is the second text of a pair, such as the context of a
    question. `texts` are choices, documents or sentences. `lang` and `lang_pair` name the language of `text` and of
    the other side, for models that read language ids (XLM).
    """

    text: str
    text_pair: str | None = None
    texts: tuple[str, ...] = ()
    lang: str | None = None
    lang_pair: str | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes: a model of the catalog, one of its heads, and the size class of the model."""

    model: str
    head: str
    size_class: SizeClass


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What is known of each token of a window beside its id. Each tuple has one entry for each token.

    `offsets[i]` is the half-open span of token i, in Unicode code points of the text as received. Special tokens have
    (0, 0), and `special[i]` is True. `sequence_ids[i]` is 0 or 1 for the first or second text of a pair, and -1 for
    special tokens; it is empty for single texts. `word_starts[i]` says whether token i begins a word.
    """

    offsets: tuple[tuple[int, int], ...]
    special: tuple[bool, ...]
    sequence_ids: tuple[int, ...] = ()
    word_starts: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Window:
    """One row for the model: special tokens included, at most the model's `max_tokens` ids.

    `input_index` counts the valid inputs from 0. `part` tells what is read separately for one input: its
    choices, documents or labels. `input_ids` are int32.

    `read_facts` makes the facts of the tokens. It is called once, and only where a task reads them: most tasks do not,
    and the facts take longer than the ids.

    `start` is the place of the first content token among all content tokens of the input. It shows how overlapping
    windows lie on the text; of a pair, it counts in the text that is split into windows.

    `positions` are indices into this window that the head reads (masks). `lang_ids` (XLM), `token_type_ids` and
    `position_ids` hold one value for each token where the model reads them.
    """

    input_index: int
    input_ids: tuple[int, ...]
    read_facts: Callable[[], TokenFacts] = field(repr=False, compare=False)
    positions: tuple[int, ...] = ()
    lang_ids: tuple[int, ...] | None = None
    start: int = 0
    part: int = 0
    token_type_ids: tuple[int, ...] | None = None
    position_ids: tuple[int, ...] | None = None

    @cached_property
    def facts(self) -> TokenFacts:
        """What is known of each token."""
        return self.read_facts()

    @property
    def offsets(self) -> tuple[tuple[int, int], ...]:
        """Span of each token."""
        return self.facts.offsets

    @property
    def special(self) -> tuple[bool, ...]:
        """Whether each token is special."""
        return self.facts.special

    @property
    def sequence_ids(self) -> tuple[int, ...]:
        """Which text of a pair each token belongs to."""
        return self.facts.sequence_ids

    @property
    def word_starts(self) -> tuple[bool, ...]:
        """Whether each token begins a word."""
        return self.facts.word_starts

    @property
    def n_content_tokens(self) -> int:
        """Number of tokens that are not special."""
        return len(self.special) - sum(self.special)


@dataclass(frozen=True, slots=True)
class Tokenized:
    """All windows of a request in input order, and the sha256 of the tokenizer that made them.

    `errors` holds, by index in the request, each input that could not be tokenized. Windows and `truncated` count the
    other inputs only. `truncated[i]` says whether a part of that input is in no window: because the caller asked
    for truncation, or because the task reads only what surrounds a mask. `target_ids` are the vocabulary ids of a
    fill-mask request's targets.
    """

    windows: tuple[Window, ...]
    fingerprint: str
    truncated: tuple[bool, ...]
    target_ids: tuple[int, ...] = ()
    errors: Mapping[int, GlossaError] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """The answer: one JSON-ready value for each valid input, with what was done to that input.

    `n_windows[i]` windows were read, with `n_tokens[i]` tokens. `truncated[i]` says whether anything was cut.
    `timings_s` holds seconds for tokenize, route, queue, infer and assemble.
    """

    values: tuple[object, ...]
    model: str
    head: str
    n_windows: tuple[int, ...]
    truncated: tuple[bool, ...]
    n_tokens: tuple[int, ...]
    timings_s: Mapping[str, float] = field(default_factory=dict)
