"""Reads questions about paragraphs in the JSON of SQuAD v1.1, as XQuAD and MLQA have it.

Must not know models or metrics.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from glossa.evaluation.examples import Question
from glossa.evaluation.readers.files import ill_formed, read_text
from shared.strict_json import lone_surrogate_at

T = TypeVar("T")


def questions(path: Path) -> list[Question]:
    """Return the questions of a file in order.

    Raises Unprocessable when it is no JSON, naming the line, and when a part is missing, naming the part.
    """
    try:
        value = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ill_formed(path, error.lineno, f"got no JSON ({error.msg}), expected that of SQuAD") from None
    except RecursionError:
        raise ill_formed(path, 1, "got JSON nested too deep, expected that of SQuAD") from None
    return list(_questions(path, value))


def _questions(path: Path, value: object) -> Iterator[Question]:
    for i, article in enumerate(_part(path, "", value, "data", list)):
        for j, paragraph in enumerate(_part(path, f"data[{i}]", article, "paragraphs", list)):
            where = f"data[{i}].paragraphs[{j}]"
            context = _text(path, where, paragraph, "context")
            for k, asked in enumerate(_part(path, where, paragraph, "qas", list)):
                place = f"{where}.qas[{k}]"
                answers = tuple(
                    _text(path, f"{place}.answers[{n}]", answer, "text")
                    for n, answer in enumerate(_part(path, place, asked, "answers", list))
                )
                if not answers:
                    raise ill_formed(path, place, "got no answers, expected at least one")
                yield Question(_text(path, place, asked, "question"), context, answers)


def _text(path: Path, where: str, value: object, name: str) -> str:
    text = _part(path, where, value, name, str)
    if (at := lone_surrogate_at(text)) is not None:
        raise ill_formed(path, where, f"got a lone surrogate at character {at} of {name!r}, expected text")
    return text


def _part(path: Path, where: str, value: Any, name: str, kind: type[T]) -> T:
    part = value.get(name) if isinstance(value, dict) else None
    if not isinstance(part, kind):
        expected = f"expected {name!r} with a {kind.__name__}"
        raise ill_formed(path, where or "the whole file", f"got {_kind(value, part)}, {expected}")
    return part


def _kind(value: object, part: object) -> str:
    return f"a {type(value).__name__}" if not isinstance(value, dict) else f"a {type(part).__name__} there"
