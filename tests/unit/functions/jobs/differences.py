"""Where a double of AWS is known to differ from the contract: each with its reason, and what makes up for it.

A test that is listed must fail there (`fails`), so that a difference that has gone is noticed; or it
is left out (`races`), where failing is a matter of luck.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Difference:
    """Why a test does not hold on a double."""

    kind: Literal["fails", "races"]
    reason: str


DIFFERENCES: dict[tuple[str, str], Difference] = {
    ("moto", "test_of_many_racing_claims_one_wins"): Difference(
        "races", "moto's transactions are not atomic between threads; memory and the emulator hold it"
    ),
    ("moto", "test_racing_counts_are_all_counted"): Difference(
        "races", "moto's transactions are not atomic between threads; memory and the emulator hold it"
    ),
    ("moto", "test_of_many_racing_workers_one_holds_the_lease"): Difference(
        "races", "moto's transactions are not atomic between threads; memory and the emulator hold it"
    ),
}
