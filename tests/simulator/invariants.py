"""What must hold after every write, and at the end. Checks the table and the buckets, and knows no product code.

A Violation names what is broken. The simulator adds how it came to that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from functions.jobs.records.result_rows import decode_rows
from functions.jobs.state import keys
from functions.jobs.state.transactions import Write
from functions.jobs.storage.in_memory.objects import InMemoryObjects
from functions.jobs.storage.in_memory.table import InMemoryTable
from tests.simulator.tasks import current

ENDED = {"SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED"}
SHARD_ENDED = {"DONE", "FAILED"}
MOVES = {
    "SUBMITTED": {"PLANNING", "CANCELLING"},
    "PLANNING": {"RUNNING", "CANCELLING"},
    "RUNNING": {"FINALIZING", "CANCELLING"},
    "FINALIZING": {"SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED"},
    "CANCELLING": {"CANCELLED"},
    "SUCCEEDED": {"DELETING"},
    "PARTIALLY_SUCCEEDED": {"REDRIVING", "DELETING"},
    "FAILED": {"REDRIVING", "DELETING"},
    "CANCELLED": {"DELETING"},
    "REDRIVING": {"RUNNING", "CANCELLING"},
    "DELETING": {"DELETED"},
    "DELETED": set(),
}
UNREAD = {"PARTIALLY_SUCCEEDED", "FAILED"}
MANY_STRIKES = 5


def _lasting(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return what must not change after a job's end: all but the note that it was announced, and the index."""
    return {name: value for name, value in job.items() if name not in {"announced", "gsi1pk", "gsi1sk"}}


class Violation(AssertionError):
    """A promise is broken."""


def must(truth: object, broken: str) -> None:
    """Raise Violation unless it is true."""
    if not truth:
        raise Violation(broken)


class Invariants:
    """Checks one job. `acknowledged` is set when a cancel has been answered."""

    def __init__(self, table: InMemoryTable, objects: InMemoryObjects, tenant: str, job: str) -> None:
        self._items, self._objects = table._items, objects
        self.tenant, self.name, self._pk = tenant, job, keys.job_prefix(tenant, job)
        self._job: Mapping[str, Any] = {}
        self._shards: dict[str, Mapping[str, Any]] = {}
        self.acknowledged = False
        self._begun: set[str] = set()  # tasks that have called the model
        self.broken: Violation | None = None

    # ---- during a run; a violation is kept, because a step would catch the exception

    def read_job(self) -> None:
        """Note that the current task knows of a cancel."""
        task = current()
        if task is not None and self.acknowledged:
            task.knows = True

    def called_model(self) -> None:
        """Check a call of the model."""
        task = current()
        if task is None or task.name in self._begun:
            return  # a shard that was begun is finished, and then not counted
        self._begun.add(task.name)
        if self.acknowledged and (task.knows or task.before != "get job"):
            self._keep(f"{task.name} began a shard though it could know that the job was cancelled")

    def put(self, key: str, *, new: bool) -> None:
        """Check an output object: nothing is overwritten, and a manifest comes only when it can no longer change."""
        if not key.startswith(self._pk):
            return
        try:
            must(len(self._objects._versions.get(("output", key), [])) == 1, f"{key} was written over")
            if new and "/manifest" in key:
                job = self.job()
                must(job.get("state") in {"FINALIZING", "CANCELLING"}, f"manifest written while {job.get('state')}")
        except Violation as violation:
            self.broken = self.broken or violation

    def wrote(self, writes: Sequence[Write]) -> None:
        """Check the table after a transaction."""
        if all(write.key.pk != self._pk for write in writes):
            return
        try:
            job, shards = self.job(), self.shards()
            if job:
                self._judge_job(self._job, job, shards)
            for name, shard in shards.items():
                self._judge_shard(self._shards.get(name), shard, job)
            self._job, self._shards = job, shards
        except Violation as violation:
            self.broken = self.broken or violation

    def _keep(self, broken: str) -> None:
        self.broken = self.broken or Violation(broken)

    def _judge_job(self, before: Mapping[str, Any], job: Mapping[str, Any], shards: Mapping[str, Any]) -> None:
        state = job["state"]
        if before and before["state"] != state:
            must(state in MOVES[before["state"]], f"job moved {before['state']} -> {state}")
        if before and before["state"] == state and state in ENDED:
            must(_lasting(before) == _lasting(job), f"job changed after it was {state}")
        if state in {"DELETING", "DELETED"}:
            return
        ended = [shard for shard in shards.values() if shard["state"] in SHARD_ENDED]
        counted = {
            "shards_done": sum(shard["state"] == "DONE" for shard in ended),
            "shards_failed": sum(shard["state"] == "FAILED" for shard in ended),
            "records_ok": sum(shard["records_ok"] for shard in ended),
            "records_failed": sum(shard["records_failed"] for shard in ended),
            "shards_open": job["n_shards"] - len(ended),
        }
        wrong = {name: (job[name], value) for name, value in counted.items() if job[name] != value}
        must(not wrong, f"counters differ from the shards (said, true): {wrong}")
        if job["n_shards"]:
            self._judge_plan(job, shards)
        if state in {"FINALIZING", "SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED"}:
            must(job["shards_open"] == 0, f"job is {state} with {job['shards_open']} open shards")
        if before and before["state"] in {"FINALIZING", "CANCELLING"} and state in ENDED:
            found = self._objects.head("output", keys.manifest_key(self.tenant, self.name, job["generation"]))
            must(found is not None and found.sha256 == job["manifest_sha256"], "job ended without its manifest")

    def _judge_plan(self, job: Mapping[str, Any], shards: Mapping[str, Any]) -> None:
        at = 0
        for shard in sorted(shards.values(), key=lambda each: each["record"]):
            must(shard["record"] == at, f"shards leave or double records at {at}")
            at += shard["n_records"]
        must((at, len(shards)) == (job["n_records"], job["n_shards"]), "shards do not make up the job")

    def _judge_shard(self, before: Mapping[str, Any] | None, shard: Mapping[str, Any], job: Mapping[str, Any]) -> None:
        if before is None or before == shard:
            return
        ended = shard["state"] in SHARD_ENDED
        if before["state"] in SHARD_ENDED:
            must(job.get("state") == "REDRIVING", f"an ended shard changed while the job was {job.get('state')}")
            must(before["records_failed"], "a shard without error rows was reopened")
        elif ended:
            must(before["state"] == "LEASED", f"shard moved {before['state']} -> {shard['state']}")
            must(before["attempt"] == shard["attempt"], "a shard was ended by who did not hold it")
            must(not self.acknowledged, "a shard was counted after a cancel was acknowledged")
            must(self._part(shard) is not None, "a shard was counted before its part was there")
        must(shard["attempt"] >= before["attempt"], "a fence moved back")

    # ---- items and objects

    def job(self) -> dict[str, Any]:
        """Return the job's item, or an empty one."""
        return dict(self._items.get(keys.job_item(self.tenant, self.name), {}))

    def shards(self) -> dict[str, Mapping[str, Any]]:
        """Return the shards' items."""
        return {k.sk: dict(item) for k, item in self._items.items() if k.pk == self._pk and k.sk.startswith("shard/")}

    def resting(self) -> bool:
        """Return whether nothing is left to do."""
        return self.job().get("state") in ENDED | {"DELETED"}

    def _part(self, shard: Mapping[str, Any]) -> Any:
        return self._objects.head("output", keys.part_key(self.tenant, self.name, shard["shard"], shard["generation"]))

    # ---- at the end

    def judge_end(self, expected: Callable[[int], object], states: set[str], n_records: int) -> None:
        """Check an ended job through its manifest. `expected` gives a record's answer, or None for an error row."""
        if self.broken is not None:
            raise self.broken
        job = self.job()
        twins = [key.sk for key in self._items if key.pk == keys.jobs_partition(self.tenant)]
        must(len(twins) <= 1, f"one object became {len(twins)} jobs")
        over = [key for (_, key), found in self._objects._versions.items() if "/jobs/" in key and len(found) > 1]
        must(not over, f"{over} were written over")
        must(
            job.get("state") in states | (UNREAD if job.get("code") == "unreadable" else set()),
            f"job is {job.get('state')}, expected {' or '.join(sorted(states))}",
        )
        must(
            not [1 for item in self._items.values() if "gsi1pk" in item], "something is still due though all has ended"
        )
        if job["state"] == "DELETED":
            self._judge_deleted()
            return
        if job["code"] == "unreadable":  # planners died eight times at one point; what was planned by then counts
            n_records = job["n_records"]
        manifest = self._judge_manifests(job)
        rows = [row for part in manifest["parts"] for row in self._rows(part)]
        self._judge_rows(rows, expected)
        indices = [row["index"] for row in rows]
        must(len(set(indices)) == len(indices), "a record has two rows")
        if job["state"] != "CANCELLED":
            self._judge_outcome(job)
            must(indices == list(range(n_records)), f"{n_records - len(indices)} records have no row")
        n_failed = sum("error" in row for row in rows)
        counts = (job["records_ok"], job["records_failed"])
        must(
            counts == (len(rows) - n_failed, n_failed),
            f"counters {counts} differ from {len(rows)} rows, {n_failed} failed",
        )
        said = (manifest["counts"]["succeeded"], manifest["counts"]["failed"], manifest["state"])
        must(said == (*counts, job["state"]), f"the manifest says {said}, the job {counts} {job['state']}")

    def _judge_outcome(self, job: Mapping[str, Any]) -> None:
        failed = job["records_failed"] or job["n_problems"]
        outcome = ("PARTIALLY_SUCCEEDED" if job["records_ok"] else "FAILED") if failed else "SUCCEEDED"
        must(job["state"] == outcome, f"job is {job['state']}, its counters say {outcome}")

    def _judge_rows(self, rows: Sequence[Mapping[str, Any]], expected: Callable[[int], object]) -> None:
        tired = {
            s["record"] + i
            for s in self.shards().values()
            if s["strikes"] >= MANY_STRIKES
            for i in range(s["n_records"])
        }
        for row in rows:
            if "error" in row:
                given_up = row["error"]["code"] == "given-up" and row["index"] in tired
                must(given_up or expected(row["index"]) is None, f"record {row['index']} failed: {row['error']}")
            else:
                must(row["result"]["text"] == expected(row["index"]), f"record {row['index']} has another's answer")

    def _judge_manifests(self, job: Mapping[str, Any]) -> dict[str, Any]:
        prefix = f"{self._pk}/manifest"
        there = [key for bucket, key in self._objects._versions if bucket == "output" and key.startswith(prefix)]
        wanted = {keys.manifest_key(self.tenant, self.name, g) for g in range(job["generation"] + 1)}
        must(set(there) == wanted, f"there are {len(there)} manifests after {job['generation']} redrives")
        data = self._read(keys.manifest_key(self.tenant, self.name, job["generation"]))
        must(hashlib.sha256(data).hexdigest() == job["manifest_sha256"], "the job names another manifest")
        read: dict[str, Any] = json.loads(data)
        return read

    def _rows(self, part: Mapping[str, Any]) -> list[dict[str, Any]]:
        data = self._read(part["key"])
        must(hashlib.sha256(data).hexdigest() == part["sha256"], f"{part['key']} is not what the manifest says")
        rows: list[dict[str, Any]] = list(decode_rows(data))
        must(len(rows) == part["records"], f"{part['key']} holds {len(rows)} rows, the manifest says {part['records']}")
        return rows

    def _read(self, key: str) -> bytes:
        must(self._objects.head("output", key) is not None, f"{key} is named and not there")
        return b"".join(self._objects.read("output", key))

    def _judge_deleted(self) -> None:
        items = [key.sk for key in self._items if key.pk == self._pk and key.sk != "job"]
        objects = [key for _, key in self._objects._versions if key.startswith(self._pk + "/")]
        must(not items and not objects, f"a deleted job left {items + objects}")
