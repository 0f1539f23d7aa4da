"""Makes faulty copies of statements: one thing less, or one thing wider.

Pure. Must not know the template or any call.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.rights.policy import Statement, listed


def narrowed(statement: Statement) -> Iterator[tuple[str, Statement | None]]:
    """Yield copies that allow less, each with its name: no statement, one action, resource or value less."""
    yield "dropped", None
    for part in ("Action", "Resource"):
        values = listed(statement[part])
        for value in values if len(values) > 1 else ():
            yield f"without {value}", {**statement, part: [each for each in values if each != value]}
    for operator, name, values in _conditions(statement):
        for value in values if len(values) > 1 else ():
            fewer = [each for each in values if each != value]
            yield f"without {name} {value}", _replaced(statement, operator, name, fewer)


def widened(statement: Statement) -> Iterator[tuple[str, Statement]]:
    """Yield copies that allow more, each with its name: every resource, shorter patterns, one condition less."""
    resources = listed(statement["Resource"])
    if resources != ["*"]:
        yield "every resource", {**statement, "Resource": "*"}
    for resource in resources:
        if (short := _shorter(resource)) != resource:
            rest = [each for each in resources if each != resource]
            yield f"{short} for {resource}", {**statement, "Resource": [*rest, short]}
    for operator, name, values in _conditions(statement):
        yield f"without {name}", _replaced(statement, operator, name, None)
        for value in values:
            if isinstance(value, str) and (short := _shorter(value)) != value:
                rest = [each for each in values if each != value]
                yield f"{short} for {value} in {name}", _replaced(statement, operator, name, [*rest, short])


def _shorter(pattern: str) -> str:
    """Return a pattern up to its first *. It matches more."""
    return pattern[: pattern.index("*") + 1] if "*" in pattern[:-1] else pattern


def _conditions(statement: Statement) -> list[tuple[str, str, list[Any]]]:
    return [
        (operator, name, listed(values))
        for operator, keys in statement.get("Condition", {}).items()
        for name, values in keys.items()
    ]


def _replaced(statement: Statement, operator: str, name: str, values: list[Any] | None) -> Statement:
    """Return a copy with other values of one condition, or without it."""
    conditions = {each: dict(keys) for each, keys in statement["Condition"].items()}
    if values is None:
        del conditions[operator][name]
    else:
        conditions[operator][name] = values
    return {**statement, "Condition": {each: keys for each, keys in conditions.items() if keys}}
