"""Writes to the table as values: what to put, change, delete or check, and under which guards.

Pure. The job state machine and the leases make these values, and a table carries them out. State
changes of jobs and shards are made there alone. Must not know DynamoDB's expressions.
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
    """Holds when the attribute exists and equals `value`."""

    name: str
    value: str | int | bool


@dataclass(frozen=True, slots=True)
class IsIn:
    """Holds when the attribute exists and is one of `values`."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AtMost:
    """Holds when the attribute exists and is a number <= `value`."""

    name: str
    value: int


Guard = Is | IsIn | AtMost


@dataclass(frozen=True, slots=True)
class Put:
    """Write a new item. Fails when the key is taken."""

    key: Key
    item: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Update:
    """Change an existing item. Fails when the item does not exist or a guard is false.

    `add` adds to integers, and an absent one counts as 0. `remove` removes attributes.
    """

    key: Key
    set: Mapping[str, Value] = field(default_factory=dict)
    add: Mapping[str, int] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    guards: tuple[Guard, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove an existing item. Fails when the item does not exist or a guard is false."""

    key: Key
    guards: tuple[Guard, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """Change nothing. The whole transaction fails when the item does not exist or a guard is false."""

    key: Key
    guards: tuple[Guard, ...] = ()


Write = Put | Update | Delete | Check


class ConditionFailed(Conflict):
    """A guard was false, so nothing was written. `failed` holds the indices of the writes that failed."""

    code = "refused"

    def __init__(self, failed: tuple[int, ...]) -> None:
        """Keep which of the writes failed."""
        super().__init__(f"writes {list(failed)} were refused: the table has moved on")
        self.failed = failed


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a query. The next page begins after sort key `after`; None says that this page is the last."""

    items: tuple[Item, ...]
    after: str | None
