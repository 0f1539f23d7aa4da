"""Says in problem details what is wrong with the fields of a body.

Must not know any body.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.error_text import expected, got

MAX_FAULTS = 20  # of one body; with the limit on a detail, every refusal stays far below the limit of an answer
_SHOWN_CHARS = 80


def field_errors(found: list[Any], fields: Mapping[str, str]) -> tuple[str, list[dict[str, str]]]:
    """Return one sentence and a list of field, value and expectation, of the errors that pydantic found.

    `fields` says what is expected of some fields, by name.
    """
    faults = [_field_error(each, fields) for each in found[:MAX_FAULTS]]
    said = [f"{fault['field']}: got {fault['got']}, expected {fault['expected']}" for fault in faults]
    if len(found) > MAX_FAULTS:
        said.append(f"and {len(found) - MAX_FAULTS} more")
    return "; ".join(said), faults


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _field_error(error: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, str]:
    field = shortened(".".join(str(part) for part in error["loc"] if part != "body") or "body", _SHOWN_CHARS)
    wanted = fields.get(field) if error["type"] != "extra_forbidden" else None
    return {"field": field, "got": got(error), "expected": wanted or expected(error)}
