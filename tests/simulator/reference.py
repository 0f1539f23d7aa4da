"""A batch job in as few words as possible: a reference for the true one, without stores, messages or handlers.

A delivery reaches some stage of its work: a crash ends it there, and without a crash it ends at `whole`. The reference
says what the job is then.
"""

from __future__ import annotations

from dataclasses import dataclass, field

LEASE_MS = 330_000
FORGET_MS = 360_000
STAGES = {
    "plan": ("begun", "shards", "whole"),
    "redrive": ("shards", "whole"),
    "work": ("claimed", "part", "counted", "whole"),
    "finalize": ("closed", "manifest", "whole"),
}
WORKABLE = {"PLANNING", "RUNNING", "REDRIVING"}
ENDED = {"SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED"}


@dataclass
class ReferenceShard:
    """One shard: whether it is counted, its generation, its lease, and which attempts wrote its part."""

    n_records: int
    n_bad: int
    counted: bool = False
    generation: int = 0
    leased_until_ms: int = 0
    held: bool = False
    strikes: int = 0
    parts: dict[int, bool] = field(
        default_factory=dict
    )  # generation -> whether the model was fixed when the part was written

    @property
    def n_failed(self) -> int:
        """The number of error rows in its result."""
        return 0 if self.parts[self.generation] else self.n_bad


@dataclass
class ReferenceJob:
    """One job, from its event on."""

    sizes: list[tuple[int, int]]
    state: str = "NONE"
    generation: int = 0
    fixed: bool = False
    shards: list[ReferenceShard] = field(default_factory=list)
    manifests: dict[int, str] = field(default_factory=dict)
    deleted_ms: int = 0

    # ---- deliveries

    def plan(self, stage: str) -> None:
        """Accept and plan the job, or reopen its failed shards."""
        if self.state in {"NONE", "PLANNING"}:
            self.state = "PLANNING"
            if stage != "begun" and not self.shards:
                self.shards = [ReferenceShard(n, bad) for n, bad in self.sizes]
            if stage == "whole":
                self.state = "RUNNING"
        elif self.state == "REDRIVING":
            for shard in self.shards:
                if shard.counted and shard.generation < self.generation and shard.n_failed:
                    shard.counted, shard.held, shard.strikes = False, False, 0
                    shard.generation, shard.leased_until_ms = self.generation, 0
            if stage == "whole":
                self.state = "RUNNING"

    def work(self, at: int, stage: str, now_ms: int) -> None:
        """Answer a shard."""
        shard = self.shards[at] if at < len(self.shards) else None
        if (
            shard is None
            or shard.counted
            or self.state not in WORKABLE
            or (shard.held and now_ms < shard.leased_until_ms)
        ):
            return
        shard.strikes += shard.held
        shard.held, shard.leased_until_ms = True, now_ms + LEASE_MS
        if stage == "claimed":
            return
        shard.parts.setdefault(shard.generation, self.fixed)
        if stage != "part":
            shard.counted = True

    def finalize(self, stage: str, now_ms: int) -> None:
        """Close a job whose shards are all counted, or that was cancelled, or end the deletion of one."""
        if self.state == "DELETING" and now_ms >= self.deleted_ms + FORGET_MS:
            self.state = "DELETED"
        if self.state == "RUNNING" and all(shard.counted for shard in self.shards):
            self.state = "FINALIZING"
            if stage == "closed":
                return
        if self.state in {"FINALIZING", "CANCELLING"}:
            self.manifests[self.generation] = self.outcome()
            if stage == "whole":
                self.state = self.outcome()

    # ---- orders; each returns whether it is accepted

    def cancel(self) -> bool:
        """Stop the job."""
        if self.state in WORKABLE:
            self.state = "CANCELLING"
        return self.state in {"CANCELLING", "CANCELLED"}

    def redrive(self) -> bool:
        """Answer the failed records again."""
        if self.state in {"PARTIALLY_SUCCEEDED", "FAILED"}:
            self.state, self.generation = "REDRIVING", self.generation + 1
            return True
        return self.state == "SUCCEEDED" or (
            self.generation > 0 and self.state in {"REDRIVING", "RUNNING", "FINALIZING"}
        )

    def delete(self, now_ms: int) -> bool:
        """Remove the job."""
        if self.state in ENDED:
            self.state, self.deleted_ms = "DELETING", now_ms
        return self.state in {"DELETING", "DELETED"}

    # ---- results

    def outcome(self) -> str:
        """Return the state in which it ends."""
        if self.state == "CANCELLING":
            return "CANCELLED"
        ok, failed = self.counts()[:2]
        return "SUCCEEDED" if not failed else "PARTIALLY_SUCCEEDED" if ok else "FAILED"

    def counts(self) -> tuple[int, int, int]:
        """Return the numbers of answers, error rows and counted shards."""
        counted = [shard for shard in self.shards if shard.counted]
        failed = sum(shard.n_failed for shard in counted)
        return sum(shard.n_records for shard in counted) - failed, failed, len(counted)
