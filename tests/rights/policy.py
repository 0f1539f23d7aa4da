"""Decides whether statements of IAM allow a call. It knows the operators that template.yaml uses, and refuses others.

Pure. Must not know the template.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

Statement = Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """One call that a role makes. `context` has the condition keys, each with its values."""

    role: str
    action: str
    resource: str
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __hash__(self) -> int:
        """Hash all fields."""
        return hash((self.role, self.action, self.resource, tuple(sorted(self.context.items()))))


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


def like(value: str, pattern: str) -> bool:
    """Whether a value matches a pattern in which * stands for any characters and ? for one."""
    return _pattern(pattern).fullmatch(value) is not None


def _equal(value: str, wanted: str) -> bool:
    return value == wanted


OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": _equal,
    "StringLike": like,
    "ArnEquals": like,
    "ArnLike": like,
    "Bool": _equal,
}


def listed(value: Any) -> list[Any]:
    """Return a list unchanged and a single value as a list of one, as IAM reads both."""
    return value if isinstance(value, list) else [value]


def _meets(operator: str, name: str, wanted: list[str], context: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether the values of one condition key meet one condition. Raises ValueError for an unknown operator."""
    found = context.get(name)
    if operator == "Null":
        return (found is None) == (wanted == ["true"])
    prefix, _, plain = operator.rpartition(":")
    if plain not in OPERATORS or prefix not in {"", "ForAllValues"}:
        raise ValueError(f"got the operator {operator}, expected Null or one of {sorted(OPERATORS)}")
    matches = [any(OPERATORS[plain](value, each) for each in wanted) for value in found or ()]
    return all(matches) if prefix else bool(matches) and all(matches)


def applies(statement: Statement, call: Call) -> bool:
    """Whether a statement is about a call."""
    conditions = statement.get("Condition", {})
    return (
        any(like(call.action.lower(), action.lower()) for action in listed(statement["Action"]))
        and any(like(call.resource, resource) for resource in listed(statement["Resource"]))
        and all(
            _meets(operator, name, [str(each) for each in listed(wanted)], call.context)
            for operator, keys in conditions.items()
            for name, wanted in keys.items()
        )
    )


def allows(statements: Iterable[Statement], call: Call) -> bool:
    """Whether some statement allows a call and none denies it."""
    effects = {statement["Effect"] for statement in statements if applies(statement, call)}
    return effects == {"Allow"}
