"""Parses JSON strictly, and finds text that no UTF-8 can hold, and whole numbers that are written as 1.0.

Raises one error that says what is wrong and where. Each reader makes its own message of it, because readers differ in
error types and codes. Must not know bodies, records or who asks.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

JsonErrorKind = Literal["syntax", "too-deep", "repeated-key", "not-finite", "out-of-range", "too-many-digits"]


@dataclass(eq=False)
class JsonError(Exception):
    """Why a text is not strict JSON.

    `token` is the key, constant or number that is wrong. `reason` is what the parser said, `position` and `column`
    are where (syntax). `n_keys` and `n_different` count the keys of an object that repeats one.
    """

    kind: JsonErrorKind
    token: str = ""
    reason: str = ""
    position: int = 0
    column: int = 0
    n_keys: int = 0
    n_different: int = 0


def parse(
    text: str,
    *,
    constants: bool = False,
    infinite: bool = False,
    parse_int: Callable[[str], int | float] = int,
) -> object:
    """Parse one JSON value. No object may repeat a key.

    `constants` lets NaN and Infinity pass. `infinite` lets numbers beyond the range of a double pass, as infinity.
    `parse_int` reads integers. Raises JsonError.
    """
    hooks: dict[str, Any] = {"object_pairs_hook": _unique_keys, "parse_int": parse_int}
    if not constants:
        hooks["parse_constant"] = _no_constant
    if not infinite:
        hooks["parse_float"] = _in_range
    try:
        value: object = json.loads(text, **hooks)
    except RecursionError:
        raise JsonError("too-deep") from None
    except json.JSONDecodeError as error:
        raise JsonError("syntax", token=error.msg, reason=str(error), position=error.pos, column=error.colno) from None
    except ValueError as error:  # an integer of more than 4,300 digits
        raise JsonError("too-many-digits", reason=str(error)) from None
    return value


def lone_surrogate_at(text: str) -> int | None:
    """Return the place of the first lone surrogate of a text, which UTF-8 cannot hold. None when there is none."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


def whole(value: object) -> object:
    """Return a number without a fraction as an integer, and anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def whole_numbers(value: object) -> object:
    """Return a JSON value in which every number without a fraction is an integer."""
    if isinstance(value, list):
        return [whole_numbers(each) for each in value]
    if isinstance(value, dict):
        return {name: whole_numbers(each) for name, each in value.items()}
    return whole(value)


def _no_constant(name: str) -> object:
    raise JsonError("not-finite", token=name)


def _in_range(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise JsonError("out-of-range", token=digits)
    return value


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise JsonError("repeated-key", token=twice, n_keys=len(pairs), n_different=len(found))
    return found
