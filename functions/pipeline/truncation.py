"""Decides how a text that is too long is split into windows. Each truncation strategy has a rule here.

Numbers of tokens in, spans of tokens out; `windows` has the arithmetic. A single text with masks is split in
`tokenize`. Must not know tokenizers, tasks or what windows hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from functions.pipeline import windows
from functions.tasks.task import WindowRule
from functions.tokenizers.offsets import Span
from shared.errors import TooLarge

KeptSpans = tuple[Span, ...]  # what one window keeps: a span of the text, and of the second text of a pair
LEAST_SHARE = 8  # a second text that is split has at least an eighth of each window
ASK_TRUNCATION = 'shorten one text, or ask for "truncation": true'


@dataclass(frozen=True, slots=True)
class LongText:
    """A text, or a pair of texts, that is too long for one window.

    `lengths` are in tokens, without special ones. A window has `window` tokens, special ones included, and `room` for
    the texts. `longest_second` is the length of the longest second text among all pairs of the same input. `where`
    names the input in messages.
    """

    lengths: tuple[int, ...]
    window: int
    room: int
    longest_second: int
    rule: WindowRule
    where: str

    def spans(self, length: int, room: int) -> list[Span]:
        """Split a text that has `room` tokens in each window. Raises Unprocessable when the stride is too large."""
        split = windows.stride_spans if self.rule.full else windows.even_spans
        return split(length, room, self.rule.overlap_tokens(self.window, room))

    def refusal(self, expected: str, hint: str = ASK_TRUNCATION) -> TooLarge:
        """Make the error of texts that no window can hold."""
        texts = " and ".join(map(str, self.lengths))
        found = f"a pair of {texts} tokens" if len(self.lengths) > 1 else f"{texts} tokens"
        return TooLarge(f"{self.where}: got {found}, expected {expected}", hint=hint)


def split_into_windows(long_text: LongText) -> list[KeptSpans]:
    """Return what each window keeps, in order. Raises TooLarge, Unprocessable (stride)."""
    rules = _PAIR_RULES if len(long_text.lengths) > 1 else _SINGLE_RULES
    return rules[long_text.rule.strategy](long_text)


def _single(long_text: LongText) -> list[KeptSpans]:
    [length] = long_text.lengths
    if long_text.rule.truncates:
        return [((0, long_text.room),)]
    return [(span,) for span in long_text.spans(length, long_text.room)]


def _longer(long_text: LongText) -> list[KeptSpans]:
    first, second = long_text.lengths
    if long_text.rule.truncates:
        return [windows.cut_pair(first, second, long_text.room)]
    spans = windows.pair_spans(first, second, long_text.room)
    if spans is None:
        half = long_text.room // 2
        raise long_text.refusal(f"at most {long_text.room} together, or {half} in the shorter text")
    return list(spans)


def _first(long_text: LongText) -> list[KeptSpans]:
    first, second = long_text.lengths
    if long_text.rule.truncates and second < long_text.room:
        return [((0, min(first, long_text.room - second)), (0, second))]
    half = long_text.room // 2
    if long_text.longest_second > half:
        longest = replace(long_text, lengths=(first, long_text.longest_second))
        raise longest.refusal(f"at most {half} in the second text", "shorten the text that is read beside")
    room = long_text.room - long_text.longest_second
    return [(span, (0, second)) for span in long_text.spans(first, room)]


def _second(long_text: LongText) -> list[KeptSpans]:
    first, second = long_text.lengths
    if long_text.rule.truncates:
        return [windows.cut_pair(first, second, long_text.room)]
    most = long_text.room - max(1, long_text.room // LEAST_SHARE)  # less room would make a window of a few tokens each
    if first > most:
        raise long_text.refusal(f"at most {long_text.room} together, or {most} in the first text", "shorten it")
    room = long_text.room - first
    return [((0, first), span) for span in long_text.spans(second, room)]


def _whole(long_text: LongText) -> list[KeptSpans]:
    if not long_text.rule.truncates:
        raise long_text.refusal(f"at most {long_text.room}" + (" together" if len(long_text.lengths) > 1 else ""))
    if len(long_text.lengths) == 1:
        return [((0, long_text.room),)]
    first, second = long_text.lengths
    return [windows.cut_pair(first, second, long_text.room)]


def _keep_end(long_text: LongText) -> list[KeptSpans]:
    [length] = long_text.lengths
    if not long_text.rule.truncates:
        raise long_text.refusal(f"at most {long_text.room}")
    return [((length - long_text.room, length),)]


_PAIR_RULES: Mapping[str, Callable[[LongText], list[KeptSpans]]] = {
    "longer": _longer,
    "first": _first,
    "second": _second,
    "masks": _whole,
    "whole": _whole,
}
_SINGLE_RULES: Mapping[str, Callable[[LongText], list[KeptSpans]]] = {
    **dict.fromkeys(("longer", "first", "second"), _single),
    "whole": _whole,
    "keep_end": _keep_end,
}
