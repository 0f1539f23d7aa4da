"""Start and end logits of a context's tokens -> the likeliest spans, by the rules of the pipeline of transformers 4.57.

Both heads of question answering read it. Must not know parameters of a task.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence

from typing_extensions import TypedDict

from functions.messages import Window
from functions.tasks.postprocessing.graphemes import Clusters, is_seam, is_unspaced
from functions.tasks.postprocessing.output_rows import Answer, Vector
from functions.tokenizers.tokenizer import Layout


class AnswerSpan(TypedDict):
    """An answer. `start` and `end` are its place in the context, in code points; without an answer it is empty."""

    score: float
    start: int
    end: int
    answer: str


Candidate = tuple[float, int, int]  # probability, and the first and last token of a span in its window


def probabilities(layout: Layout, window: Window, answer: Answer) -> tuple[Vector, Vector, float]:
    """Return the probability of each token to begin and to end the answer, and the probability of no answer.

    A token outside the context has 0. The softmax also covers the classifying token `<s>`, as in the reference; this
    includes a `<s>` that a question spells out.

    XLM's classifying token is the first `</s>`. The reference trains it so. But its pipeline reads the score of no
    answer at `<s>`, which its own mask has set to 0, and fails with a KeyError when `</s>` is likely. Here `</s>` is
    read. For XLM, no answer begins or ends at a special token; unknown characters count as such.
    """
    if layout.cls_id is None:
        cls_positions = {at for at, token in enumerate(window.input_ids) if token == layout.first[0]}
    else:
        cls_positions = {window.input_ids.index(layout.cls_id)}
    allowed = [
        at in cls_positions or (side == 1 and token not in layout.never_answer_ids)
        for at, (side, token) in enumerate(zip(window.sequence_ids, window.input_ids, strict=True))
    ]
    start, end = (_softmax([row[0] for row in answer[name]], allowed) for name in ("start", "end"))
    none = start[min(cls_positions)] * end[min(cls_positions)]
    for at, side in enumerate(window.sequence_ids):
        if side != 1:
            start[at] = end[at] = 0.0
    return start, end, none


def best_spans(start: Vector, end: Vector, n_spans: int, max_len: int) -> list[Candidate]:
    """Return the `n_spans` likeliest spans of at most `max_len` tokens, best first. None has probability 0."""
    most = max(end)
    kept: list[tuple[float, int, int]] = []  # a heap, the least first; places are negated so that the earlier span wins
    for first in sorted(range(len(start)), key=lambda place: -start[place]):
        if start[first] * most <= (kept[0][0] if len(kept) == n_spans else 0.0):
            break
        for last in range(first, min(first + max_len, len(end))):
            score = start[first] * end[last]
            if len(kept) < n_spans and score > 0:
                heapq.heappush(kept, (score, -first, -last))
            elif kept and (score, -first, -last) > kept[0]:
                heapq.heapreplace(kept, (score, -first, -last))
    return [(score, -first, -last) for score, first, last in sorted(kept, reverse=True)]


def text_span(window: Window, clusters: Clusters, first: int, last: int, *, whole_words: bool) -> tuple[int, int]:
    """Return the characters of the context that a span of tokens covers.

    With `whole_words`, the span grows to whole words, but not beyond the window. In a script without spaces it grows
    to whole grapheme clusters; the reference would take all up to the next space there.
    """
    if not whole_words:
        return window.offsets[first][0], window.offsets[last][1]
    text = clusters.text
    first = next(i for i in range(first, -1, -1) if i == 0 or _is_border(window, text, i))
    last = next(i for i in range(last, len(window.special)) if _is_border(window, text, i + 1))
    start, end = window.offsets[first][0], window.offsets[last][1]
    ends = text[start : start + 1] + text[max(0, end - 1) : end]
    return clusters.whole(start, end) if any(map(is_unspaced, ends)) else (start, end)


def add_answer(found: dict[str, AnswerSpan], context: str, span: tuple[int, int], score: float) -> None:
    """Add an answer to those found. If its text is there already (ignoring case), add its score to it."""
    start, end = span
    text = context[start:end]
    known = found.setdefault(text.lower(), {"score": 0.0, "start": start, "end": end, "answer": text})
    known["score"] = score_of(known) + score


def score_of(found: AnswerSpan) -> float:
    """Return an answer's score."""
    return found["score"]


def _is_border(window: Window, text: str, at: int) -> bool:
    """Whether a word ends before a token. The piece of a lone space covers the first letter of the word after it."""
    if at == len(window.special) or window.special[at] or window.special[at - 1] or window.word_starts[at]:
        return True
    end_before, start = window.offsets[at - 1][1], window.offsets[at][0]
    return end_before <= start and is_seam(text, start)


def _softmax(logits: Vector, allowed: Sequence[bool]) -> Vector:
    most = max(logit for logit, may in zip(logits, allowed, strict=True) if may)
    raised = list(_raised(logits, allowed, most))
    total = math.fsum(raised)
    return [part / total for part in raised]


def _raised(logits: Vector, allowed: Sequence[bool], most: float) -> Iterator[float]:
    for logit, may in zip(logits, allowed, strict=True):
        yield math.exp(logit - most) if may else 0.0
