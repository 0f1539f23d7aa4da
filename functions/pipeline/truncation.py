"""Which part of a reading each window holds: one rule for each way of giving way that a task may name.

Plain numbers of tokens in, spans out. Must not know tokenizers, tasks or windows' contents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from functions.pipeline import windows
from functions.tasks.task import TaskParameters
from functions.tokenizers.offsets import Span
from shared.errors import TooLarge

Kept = tuple[Span, ...]  # the span of the text, and of the text beside it
ASK_TRUNCATION = 'shorten one text, or ask for "truncation": true'


@dataclass(frozen=True, slots=True)
class Case:
    """A reading that may be too long: `lengths` of its texts in tokens, and the `room` for them in one window.

    `window` counts special tokens too. `n_beside` is the length of the longest second text among the readings of its
    input. `where` names the input in messages.
    """

    lengths: tuple[int, ...]
    window: int
    room: int
    n_beside: int
    parameters: TaskParameters
    where: str

    @property
    def whole(self) -> Kept:
        """All of each text."""
        return tuple((0, length) for length in self.lengths)

    def spans(self, length: int, room: int) -> list[Span]:
        """Lay windows over a text that has `room` tokens in each. Raises Unprocessable for a stride beyond it."""
        lay = windows.spans if self.parameters.shared_tokens is None else windows.full_spans
        return lay(length, room, self.parameters.overlap_tokens(self.window, room))

    def refusal(self, expected: str, hint: str = ASK_TRUNCATION) -> TooLarge:
        """Make the error of a reading that no window can hold."""
        texts = " and ".join(map(str, self.lengths))
        found = f"a pair of {texts} tokens" if len(self.lengths) > 1 else f"{texts} tokens"
        return TooLarge(f"{self.where}: got {found}, expected {expected}", hint=hint)


def keep(case: Case) -> list[Kept]:
    """Return what each window of a reading holds, in order. Raises TooLarge, Unprocessable (stride)."""
    if sum(case.lengths) <= case.room:
        return [case.whole]
    return (_RULES if len(case.lengths) > 1 else _SINGLE_RULES)[case.parameters.cut](case)


def _windows(case: Case) -> list[Kept]:
    [length] = case.lengths
    if case.parameters.cuts:
        return [((0, case.room),)]
    return [(span,) for span in case.spans(length, case.room)]


def _longer(case: Case) -> list[Kept]:
    first, second = case.lengths
    if case.parameters.cuts:
        return [windows.longest_first(first, second, case.room)]
    spans = windows.pair_spans(first, second, case.room)
    if spans is None:
        raise case.refusal(f"at most {case.room} together, or {case.room // 2} in the shorter text")
    return list(spans)


def _first(case: Case) -> list[Kept]:
    first, second = case.lengths
    if case.parameters.cuts and second < case.room:
        return [((0, min(first, case.room - second)), (0, second))]
    if case.n_beside > case.room // 2:
        raise case.refusal(f"at most {case.room // 2} in the second text", "shorten the text that is read beside")
    room = case.room - case.n_beside
    return [(span, (0, second)) for span in case.spans(first, room)]


def _second(case: Case) -> list[Kept]:
    first, second = case.lengths
    if case.parameters.cuts:
        return [windows.longest_first(first, second, case.room)]
    if first > case.room // 2:
        raise case.refusal(f"at most {case.room} together, or {case.room // 2} in the first text", "shorten it")
    room = case.room - first
    return [((0, first), span) for span in case.spans(second, room)]


def _whole(case: Case) -> list[Kept]:
    if not case.parameters.cuts:
        raise case.refusal(f"at most {case.room}" + (" together" if len(case.lengths) > 1 else ""))
    if len(case.lengths) == 1:
        return [((0, case.room),)]
    first, second = case.lengths
    return [windows.longest_first(first, second, case.room)]


def _start(case: Case) -> list[Kept]:
    [length] = case.lengths
    if not case.parameters.cuts:
        raise case.refusal(f"at most {case.room}")
    return [((length - case.room, length),)]


_RULES: Mapping[str, Callable[[Case], list[Kept]]] = {
    "longer": _longer,
    "first": _first,
    "second": _second,
    "masks": _whole,
    "whole": _whole,
}
_SINGLE_RULES: Mapping[str, Callable[[Case], list[Kept]]] = {
    **dict.fromkeys(("longer", "first", "second"), _windows),
    "whole": _whole,
    "start": _start,
}
