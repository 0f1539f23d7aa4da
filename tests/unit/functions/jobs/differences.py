"""Where an imitation of AWS is known to differ from the contract: each difference with its reason.

A listed test must fail there (`fails`), so that a difference that has gone is noticed. Where failing is a matter of
luck, the test is left out (`races`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Difference:
    """Why a test does not hold on an imitation."""

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
