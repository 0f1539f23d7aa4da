"""Finds the most probable tokens for each mask of a text.

Must not know how windows are made.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from functions.messages import TextInput, Window
from functions.tasks.postprocessing.output_rows import Answer, AnswerContext, RowsPerWindow, Vector, read_back
from functions.tasks.task import Assembler, ReadsPairs, Strings, Task, TopK, TruncationStrategy
from functions.tokenizers.tokenizer import target_ids
from shared.limits import DEFAULT_TOP_K


class Parameters(ReadsPairs):
    """Finds the `top_k` most probable tokens for each mask, or scores `targets` instead.

    A target is scored as a word where the mask begins a word, and as the rest of a word elsewhere: `France` is the
    piece `▁France` in `in <mask>`, and the piece `France` in `Saint-<mask>`. `piece` in the answer says which. A target
    that begins with `▁` is that piece everywhere. One that is no piece stands for its first piece. A long text is read
    in one window around each group of masks that fits in one. A pair must fit in one window.
    """

    truncation_strategy: ClassVar[TruncationStrategy] = "masks"
    call_fields: ClassVar[tuple[str, ...]] = ("top_k",)

    top_k: TopK = DEFAULT_TOP_K
    targets: Annotated[Strings, Field(min_length=1, max_length=256)] | None = None

    @property
    def target_words(self) -> tuple[str, ...]:
        """Words whose scores the caller wants at each mask."""
        return self.targets or ()

    @property
    def returns_one(self) -> bool:
        """Whether the caller asked for the best guess alone."""
        return self.top_k == 1


class Guess(TypedDict):
    """A token for a mask. `sequence` is the text with it; `piece` says how a target was scored."""

    score: float
    token: int
    token_str: str
    sequence: str
    piece: NotRequired[str]


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, RowsPerWindow]:
    """Name the tensors to read, one row a mask: the best guesses, or the logits of the targets."""
    del parameters
    guesses = ("target_logits",) if target_ids else ("top_ids", "top_logits")
    return dict.fromkeys((*guesses, "log_sum_exp"), "mask")


def value(
    context: AnswerContext[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> list[Guess] | list[list[Guess]]:
    """Return the guesses for the only mask, best first, or a list of guesses for each of several masks.

    A score is the probability over the whole vocabulary: exp(logit - log sum exp). `sequence` is the text of the
    window with the guess in place of the mask. An XLM head with an adaptive softmax answers log-probabilities, so
    that its log sum exp is 0.
    """
    del item
    single = sum(len(window.positions) for window in windows) == 1
    found = [
        _guesses(context, window, mask, {name: rows[k] for name, rows in answer.items()}, single=single)
        for window, answer in zip(windows, answers, strict=True)
        for k, mask in enumerate(window.positions)
    ]
    return found[0] if single else found


def _guesses(
    context: AnswerContext[Parameters], window: Window, mask: int, rows: Mapping[str, Vector], *, single: bool
) -> list[Guess]:
    if context.target_ids:
        logits = dict(zip(context.target_ids, rows["target_logits"], strict=True))
        pairs = [(token, logits[token]) for token in _scored(context, begins_word=_begins_word(context, window, mask))]
    else:
        pairs = list(zip(map(int, rows["top_ids"]), rows["top_logits"], strict=True))
    best = sorted(pairs, key=lambda pair: -pair[1])[: context.parameters.top_k]
    total = rows["log_sum_exp"][0]
    guesses = []
    for token, logit in best:
        guess: Guess = {
            "score": math.exp(logit - total),
            "token": token,
            "token_str": read_back(context, [token]),
            "sequence": _sequence(context, window, mask, token, single=single),
        }
        if context.target_ids:
            guess["piece"] = context.tokenizer.pieces([token])[0]
        guesses.append(guess)
    return guesses


def _scored(context: AnswerContext[Parameters], *, begins_word: bool) -> list[int]:
    """Return the ids of the targets at one mask, each once."""
    found = filter(None, (target_ids(context.tokenizer, target) for target in context.parameters.target_words))
    return list(dict.fromkeys(ids.of_word if begins_word else ids.of_rest for ids in found))


def _begins_word(context: AnswerContext[Parameters], window: Window, mask: int) -> bool:
    """Whether a mask is at the start of the text or after a space. Some tokenizers count that space to the mask."""
    if window.special[mask - 1]:
        return True
    start, end = window.offsets[mask]
    return start > window.offsets[mask - 1][1] or end - start > len(context.mask_token or "")


def _sequence(context: AnswerContext[Parameters], window: Window, mask: int, token: int, *, single: bool) -> str:
    pad = context.tokenizer.id_of("<pad>")
    ids = [i for i in (*window.input_ids[:mask], token, *window.input_ids[mask + 1 :]) if i != pad]
    return read_back(context, ids, skip_special=single)


TASK = Task("fill-mask", Parameters, list[Guess] | list[list[Guess]], Assembler(outputs, value))
