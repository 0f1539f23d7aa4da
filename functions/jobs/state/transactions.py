"""A write to the table as a value: what to put, change or check, and under which guards.

Pure. The machine makes these, a store carries them out; nothing else changes the table. Must
not know DynamoDB's expression language.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from functions.jobs.state.keys import Key
from shared.errors import Conflict

Value = str | int | bool | list["Value"] | dict[str, "Value"]
Item = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Is:
    """The attribute is there and equals `value`."""

    name: str
    value: str | int | bool


@dataclass(frozen=True, slots=True)
class IsIn:
    """The attribute is there and is one of `values`."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AtMost:
    """The attribute is there and is a number <= `value`."""

    name: str
    value: int


Guard = Is | IsIn | AtMost


@dataclass(frozen=True, slots=True)
class Put:
    """Write a new item; refused when the key is taken."""

    key: Key
    item: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Update:
    """Change an existing item; refused when it is absent or a guard is false.

    `add` adds to integers (absent counts as 0); `remove` drops attributes.
    """

    key: Key
    set: Mapping[str, Value] = field(default_factory=dict)
    add: Mapping[str, int] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    guards: tuple[Guard, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove an existing item; refused when it is absent or a guard is false."""

    key: Key
    guards: tuple[Guard, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """Change nothing; refuse the whole transaction when the item is absent or a guard is false."""

    key: Key
    guards: tuple[Guard, ...] = ()


Write = Put | Update | Delete | Check


class ConditionFailed(Conflict):
    """A guard was false, so nothing was written. `failed` holds the indices of the refused writes."""

    code = "refused"

    def __init__(self, failed: tuple[int, ...]) -> None:
        """Keep which of the writes were refused."""
        super().__init__(f"writes {list(failed)} were refused: the table has moved on")
        self.failed = failed


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a query, and where the next begins (None at the end)."""

    items: tuple[Item, ...]
    after: str | None
