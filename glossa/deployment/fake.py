"""A runner that runs nothing and remembers every command; an account and a cluster's call keys in memory. For tests.

Must not know which steps there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from glossa.deployment.call_keys import Held
from glossa.deployment.steps import Command


@dataclass(slots=True)
class FakeRunner:
    """Remembers commands. Those whose words hold `fails_at` end with status 1, as often as `n_failures` says."""

    fails_at: str = ""
    n_failures: int = 0
    ran: list[Command] = field(default_factory=list)

    def run(self, command: Command, folder: Path) -> int:  # noqa: ARG002 - the signature of a runner
        """Remember one command; return 0, or 1 where a failure is asked for."""
        self.ran.append(command)
        if self.fails_at and self.n_failures and any(self.fails_at in word for word in command.words):
            self.n_failures -= 1
            return 1
        return 0

    @property
    def lines(self) -> list[str]:
        """Every command that ran, in one line each."""
        return [command.shown({}) for command in self.ran]


@dataclass(frozen=True, slots=True)
class FakeAccount:
    """An account: who we are in it, its quotas, what its stacks give and were given, and whether we can take roles."""

    number: str | None = "123456789012"
    quotas: Mapping[str, float] = field(default_factory=dict)
    stacks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    given: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    limit: int | None = 1000
    admits: bool = True

    def account_id(self) -> str | None:
        """Return the number of the account, None without credentials."""
        return self.number

    def quota(self, name: str) -> float | None:
        """Return an EC2 quota, None when it cannot be read."""
        return self.quotas.get(name)

    def concurrency(self) -> int | None:
        """Return the limit of Lambda, None when it cannot be read."""
        return self.limit

    def can_assume(self, role_arn: str) -> bool:  # noqa: ARG002 - the signature of an account
        """Return whether roles can be taken."""
        return self.admits

    def parameters(self, stack_name: str) -> Mapping[str, str]:
        """Return the parameters of a stack. Raises LookupError when there is no such stack."""
        return self.given[stack_name]

    def prefix_lists(self) -> Mapping[str, str]:
        """Return ids of prefix lists."""
        return {"S3PrefixListId": "pl-1", "DynamoDbPrefixListId": "pl-2"}

    def outputs(self, stack_name: str) -> Mapping[str, str]:
        """Return the outputs of a stack. Raises LookupError when there is no such stack."""
        return self.stacks[stack_name]


@dataclass(slots=True)
class FakeCluster:
    """The call keys of a cluster. While it `is_broken`, nothing can be written."""

    has: Held | None = None
    is_broken: bool = False

    def held(self) -> Held | None:
        """Return what the cluster has."""
        return self.has

    def copy(self, text: str, now_s: float) -> None:
        """Make the cluster have this text; one that is there keeps its time. Raises ValueError when it is broken."""
        if self.is_broken:
            raise ValueError("kubectl cannot write the secret")
        if self.has is None or self.has.text != text or not self.has.since_s:
            self.has = Held(text, now_s)
