"""Logits of tokens -> labelled tokens, or entities grouped as transformers' pipeline groups them.

Where windows overlap, each token is judged by the window in which it stands most centrally.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from functions.pipeline.assemble.rows import Answer, Asked, Unit, Vector, per_token
from functions.pipeline.assemble.text_classification import softmax
from functions.pipeline.schemas.token_classification import Parameters
from shared.errors import ReplicaError
from shared.messages import TextInput, Window


@dataclass(frozen=True, slots=True)
class Tagged:
    """One token with its best label; `index` counts the special token before the text, as the pipeline does."""

    label: str
    score: float
    index: int
    word: str
    start: int
    end: int


def outputs(parameters: Parameters, target_ids: Sequence[int]) -> Mapping[str, Unit]:
    """Name the tensor read: `logits` [tokens, labels]."""
    del parameters, target_ids
    return {"logits": per_token}


def value(
    asked: Asked[Parameters], item: TextInput, windows: Sequence[Window], answers: Sequence[Answer]
) -> list[dict[str, object]]:
    """Return tokens (`none`) or entities (`simple`) in text order, without the ignored labels."""
    tagged = list(_tagged(asked, item.text, windows, answers))
    ignored = set(asked.parameters.ignore_labels)
    if asked.parameters.aggregation_strategy == "none":
        return [_token(token) for token in tagged if token.label not in ignored]
    entities = (_entity(asked, group) for group in groups(tagged))
    return [entity for entity in entities if entity["entity_group"] not in ignored]


def groups(tagged: Sequence[Tagged]) -> Iterator[list[Tagged]]:
    """Yield runs of one tag; a `B-` label always opens a new one."""
    group: list[Tagged] = []
    for token in tagged:
        if group and not (tag_of(token.label) == tag_of(group[-1].label) and not token.label.startswith("B-")):
            yield group
            group = []
        group.append(token)
    if group:
        yield group


def tag_of(label: str) -> str:
    """Return a label without its `B-` or `I-`."""
    return label[2:] if label.startswith(("B-", "I-")) else label


def borders(windows: Sequence[Window]) -> list[int]:
    """Return where each window's say ends, in content tokens of the text: amid each overlap.

    Of the places in an overlap where a word begins, the one nearest the middle; without any, the middle.
    """
    ends = []
    for window, after in pairwise(windows):
        stop = window.start + window.n_content_tokens
        middle = (after.start + stop) // 2
        n_first = _n_first(after)
        begins = [
            after.start + k
            for k in range(1, stop - after.start)
            if after.offsets[n_first + k][0] > after.offsets[n_first + k - 1][1]
        ]
        ends.append(min(begins, key=lambda place: abs(place - middle), default=middle))
    return [*ends, windows[-1].start + windows[-1].n_content_tokens]


def _n_first(window: Window) -> int:
    return window.special.index(False)


def _tagged(
    asked: Asked[Parameters], text: str, windows: Sequence[Window], answers: Sequence[Answer]
) -> Iterator[Tagged]:
    begin = 0
    for window, answer, end in zip(windows, answers, borders(windows), strict=True):
        shift = _n_first(window) - window.start
        pieces = asked.tokenizer.pieces(window.input_ids[begin + shift : end + shift])
        for place, piece in zip(range(begin, end), pieces, strict=True):
            index = place + shift
            start, stop = window.offsets[index]
            word = text[start:stop] if window.input_ids[index] == asked.tokenizer.unk_id else piece
            label, score = _best(asked.head.labels, answer["logits"][index])
            yield Tagged(label, score, place + _n_first(window), word, start, stop)
        begin = end


def _best(labels: Sequence[str], logits: Vector) -> tuple[str, float]:
    if len(labels) != len(logits):
        raise ReplicaError(
            f"got {len(logits)} logits from the model server, expected {len(labels)}, one for each label"
        )
    scores = softmax(logits)
    score = max(scores)
    return labels[scores.index(score)], score


def _token(token: Tagged) -> dict[str, object]:
    return {
        "entity": token.label,
        "score": token.score,
        "index": token.index,
        "word": token.word,
        "start": token.start,
        "end": token.end,
    }


def _entity(asked: Asked[Parameters], group: Sequence[Tagged]) -> dict[str, object]:
    return {
        "entity_group": group[0].label.split("-", 1)[-1],
        "score": sum(token.score for token in group) / len(group),
        "word": asked.tokenizer.join([token.word for token in group]),
        "start": group[0].start,
        "end": group[-1].end,
    }
