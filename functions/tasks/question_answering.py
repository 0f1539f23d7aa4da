"""Start and end logits of a context's tokens -> answers, as transformers 4.57's pipeline makes them.

The beam head of XLM has a file of its own. Must not know how texts are read.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence

from functions.tasks.postprocessing.output_rows import Answer, AnswerContext, Unit, Vector, per_token
from functions.tasks.schemas.question_answering import Parameters
from shared.messages import TextInput, Window

Found = dict[str, object]
Candidate = tuple[float, int, int]  # probability, and the first and last token of a span in its window


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, Unit]:
    """Name the tensors read: `start` and `end` [tokens]."""
    del parameters, target_ids
    return {"start": per_token, "end": per_token}


def value(
    asked: AnswerContext[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> Found | list[Found]:
    """Return the best answer, or with `top_k` above 1 a list of them where there are several.

    In each window start and end are a softmax over the tokens of the context and the classifying token, whose
    product is the score of no answer. Equal answers, by lower case, add up their scores across windows.
    """
    parameters, context = asked.parameters, item.text_pair or ""
    found: dict[str, Found] = {}
    none_score = 1_000_000.0  # as in the reference: of no answer, the least of any window
    for window, answer in zip(windows, answers, strict=True):
        start, end, none = probabilities(asked, window, answer)
        none_score = min(none_score, none)
        n_wanted = parameters.top_k * 2 + 10 if parameters.align_to_words else parameters.top_k
        for score, first, last in best_spans(start, end, n_wanted, parameters.max_answer_len):
            add(found, context, place(window, first, last, whole_words=parameters.align_to_words), score)
    ranked = list(found.values())
    if parameters.handle_impossible_answer:
        ranked.append({"score": none_score, "start": 0, "end": 0, "answer": ""})
    ranked = sorted(ranked, key=score_of, reverse=True)[: parameters.top_k]
    return ranked[0] if len(ranked) == 1 else ranked


def probabilities(asked: AnswerContext[Parameters], window: Window, answer: Answer) -> tuple[Vector, Vector, float]:
    """Return each token's probability to begin and to end the answer, and that of no answer.

    All that is not of the context has 0. `<s>`, also where a question spells it out, takes its share as in the
    reference, which would even let an answer begin at the latter. XLM's classifying token is `</s>`, where it first
    stands: so the reference trains and shares, while its pipeline reads no answer at `<s>`, which it has left out
    itself, so that it scores 0, and ends in a KeyError where `</s>` is likely. There no answer begins or ends at a
    special token, unknown characters among them.
    """
    layout = asked.tokenizer.layout
    if layout.classifying is None:
        classifying = {at for at, token in enumerate(window.input_ids) if token == layout.first[0]}
    else:
        classifying = {window.input_ids.index(layout.classifying)}
    allowed = [
        at in classifying or (side == 1 and token not in layout.unanswering)
        for at, (side, token) in enumerate(zip(window.sequence_ids, window.input_ids, strict=True))
    ]
    start, end = (_softmax([row[0] for row in answer[name]], allowed) for name in ("start", "end"))
    none = start[min(classifying)] * end[min(classifying)]
    for at, side in enumerate(window.sequence_ids):
        if side != 1:
            start[at] = end[at] = 0.0
    return start, end, none


def best_spans(start: Vector, end: Vector, n_spans: int, max_len: int) -> list[Candidate]:
    """Return the `n_spans` likeliest spans of at most `max_len` tokens, best first; none of probability 0."""
    most = max(end)
    kept: list[tuple[float, int, int]] = []  # a heap, the least first; places negated so that the earlier wins
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


def place(window: Window, first: int, last: int, *, whole_words: bool) -> tuple[int, int]:
    """Return where in the context a span of tokens stands; with `whole_words`, the words its ends are in.

    A word goes no further than the window.
    """
    if whole_words:
        first = next(i for i in range(first, -1, -1) if window.word_starts[i] or i == 0 or window.special[i - 1])
        last = next(i for i in range(last, len(window.special)) if _ends_word(window, i))
    return window.offsets[first][0], window.offsets[last][1]


def add(found: dict[str, Found], context: str, span: tuple[int, int], score: float) -> None:
    """Put an answer among those found, or its score to the one that reads the same."""
    start, end = span
    text = context[start:end]
    known = found.setdefault(text.lower(), {"score": 0.0, "start": start, "end": end, "answer": text})
    known["score"] = score_of(known) + score


def score_of(found: Found) -> float:
    """Return an answer's score."""
    score = found["score"]
    return score if isinstance(score, float) else 0.0


def _ends_word(window: Window, at: int) -> bool:
    after = at + 1
    return after == len(window.special) or window.special[after] or window.word_starts[after]


def _softmax(logits: Vector, allowed: Sequence[bool]) -> Vector:
    most = max(logit for logit, may in zip(logits, allowed, strict=True) if may)
    raised = list(_raised(logits, allowed, most))
    total = math.fsum(raised)
    return [part / total for part in raised]


def _raised(logits: Vector, allowed: Sequence[bool], most: float) -> Iterator[float]:
    for logit, may in zip(logits, allowed, strict=True):
        yield math.exp(logit - most) if may else 0.0
