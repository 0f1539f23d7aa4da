"""Words for error messages: how to show a value, and what was expected, in terms of JSON.

Must not know tasks, routes or who refuses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

SHOWN_CHARS = 80
_SAID_BEFORE = re.compile(r"^(?:Value error, |\w+ should (?:be |have )?)")  # how a validator begins its messages
_EXPECTED = {
    "missing": "a value",
    "json_invalid": "a value",
    "extra_forbidden": "only the documented ones",
    "string_type": "a string",
    "string_unicode": "a string of whole characters",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
_LENGTHS = {"too_short": ("at least", "min_length"), "too_long": ("at most", "max_length")}


def kind(value: object) -> str:
    """Return what JSON calls a value."""
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", dict: "an object", list: "a list"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def shown(value: object, most: int = SHOWN_CHARS) -> str:
    """Return a value as a message may show it: short and ASCII. Strings are in single quotes, all else is JSON."""
    text = ascii(value) if isinstance(value, str) else json.dumps(value, default=ascii)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def visible(text: str, most: int = SHOWN_CHARS) -> str:
    """Return a name for a sentence: escaped if it cannot be printed, cut after `most` characters, with a mark."""
    kept = text if len(text) <= most else text[: most - 1]
    said = kept if kept.isprintable() else ascii(kept)[1:-1]
    return said if kept == text else f"{said}…"


def count(n: int, what: str) -> str:
    """Return a number with its noun: 1 character, 2 characters."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def got(fault: Mapping[str, Any]) -> str:
    """Return the value that a validator refused, from pydantic's error details."""
    if fault["type"] in {"missing", "json_invalid"}:
        return "nothing"
    if fault["type"] == "extra_forbidden":
        return "an unknown field"
    if fault["type"] == "too_long" and (n := fault["ctx"].get("actual_length")) is not None:
        return f"a list of {n}"
    return shown(fault.get("input"))


def expected(fault: Mapping[str, Any]) -> str:
    """Return what a validator expected, from pydantic's error details."""
    if (known := _EXPECTED.get(fault["type"])) is not None:
        return known
    if fault["type"] in _LENGTHS:
        bound, name = _LENGTHS[fault["type"]]
        return f"{bound} {count(fault['ctx'][name], 'item')}"
    said = _SAID_BEFORE.sub("", str(fault["msg"]))
    return said[:1].lower() + said[1:]


def said(fault: Mapping[str, Any]) -> str:
    """Return the value that was refused, then what was expected. Our own checks say both themselves."""
    return expected(fault) if fault["type"] == "value_error" else f"got {got(fault)}, expected {expected(fault)}"
