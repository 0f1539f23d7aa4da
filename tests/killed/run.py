"""Runs a job of ten thousand records on a fleet whose processes are killed, and on one that is left alone.

A tenth of all shards ends in SIGKILL while it is answered. Planners and finalizers are killed too, and a fifth of all
messages is sent twice. The results must be the same.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import wait
from typing import Any

from functions.jobs.records.formats import FormatOptions
from functions.jobs.records.part_files import decode
from functions.jobs.state import keys, state_machine
from functions.jobs.state.items import Job, JobSpec
from functions.jobs.storage.aws import wall_clock_ms
from functions.jobs.storage.queries import load_job
from tests.killed.fleet import Workspace, serve, serve_model
from tests.unit.functions.jobs.storage.cloud import CloudSettings, client, resources
from tests.unit.functions.jobs.wiring import Effects, make_jobs

TENANT = "local"
FILES, WORKERS = 10, 3
SPEED = 30.0  # of the fleet's clock
VISIBILITY_S = 1200.0  # on the fleet's clock until a message comes again: longer than any function lives
KILLED, DOUBLED = 0.10, 0.20
OTHERS = {"plan": 5.0, "finalize": 5.0, "sweep": 0.3}  # times as often as a worker: they have few messages
MAX_JOB_S = 420.0
FORK = get_context("fork")


@dataclass
class Ended:
    """How a job ended: its rows without the name of the job, its counters, and how often its fleet was killed."""

    state: str
    rows: list[dict[str, Any]]
    counts: tuple[int, ...]
    n_manifests: int
    seconds: float
    deaths: Counter[str] = field(default_factory=Counter)
    handled: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        """Return it in one line."""
        killed = ", ".join(f"{n} {step}" for step, n in sorted(self.deaths.items())) or "none"
        return (
            f"{self.state}, {len(self.rows)} rows, {self.n_manifests} manifest, {self.handled['work']} handlings of"
            f" shards, killed in the middle: {killed} ({self.seconds:.0f} s)"
        )


class Member:
    """One process of the fleet. It is started again whenever it dies. `doomed_s` is when it will be killed."""

    def __init__(self, step: str, workspace: Workspace, seed: int) -> None:
        self.step, self._workspace, self._seed = step, workspace, seed
        self.doomed_s, self.busy = 0.0, False
        self.start()

    def start(self) -> None:
        """Start it."""
        self._seed += 1
        self.hears, said = FORK.Pipe(duplex=False)
        self.process = FORK.Process(target=serve, args=(self.step, self._workspace, said, self._seed), daemon=True)
        self.process.start()
        said.close()
        self.busy = False

    def kill(self) -> None:
        """Kill it, whatever it is doing."""
        pid = self.process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        self.process.join()
        self.hears.close()


class Fleet:
    """The processes of a fleet. Some are killed after they have begun to handle something."""

    def __init__(self, workspace: Workspace, n_workers: int, killed: float, seed: int) -> None:
        self._random = random.Random(seed)
        self._killed = killed
        self.last_asked_s = 0.0  # on the monotonic clock, which all processes share
        self.deaths: Counter[str] = Counter()
        self.handled: Counter[str] = Counter()
        steps = ["plan", "finalize", "sweep", *["work"] * n_workers]
        self.members = [Member(step, workspace, seed * 1000 + 100 * i) for i, step in enumerate(steps)]

    def watch(self, seconds: float) -> None:
        """Let them work for some seconds, and kill those whose time has come."""
        ends_s = time.monotonic() + seconds
        while (now_s := time.monotonic()) < ends_s:
            for member in self.members:
                if member.busy and 0 < member.doomed_s <= now_s:
                    self._kill(member)
            for heard in wait([member.hears for member in self.members], timeout=0.005):
                self._hear(next(member for member in self.members if member.hears is heard))

    def end(self) -> None:
        """Kill them all."""
        for member in self.members:
            member.kill()

    def _hear(self, member: Member) -> None:
        try:
            what, told = member.hears.recv()
        except EOFError:
            member.process.join()
            raise RuntimeError(f"a {member.step} process ended by itself ({member.process.exitcode})") from None
        if what == "model":
            self.last_asked_s = told
            return
        member.busy = what == "begun"
        if member.busy:
            self.handled[member.step] += 1
            doomed = self._random.random() < self._killed * OTHERS.get(member.step, 1.0)
            member.doomed_s = time.monotonic() + self._random.random() * 0.15 if doomed else 0.0

    def _kill(self, member: Member) -> None:
        self.deaths[member.step] += 1
        member.kill()
        member.start()


def texts(n_records: int) -> list[str]:
    """Return the records: short texts of several scripts, all different."""
    words = ("rain", "Wahl", "élection", "война", "天气", "mvua", "चुनाव", "ಮಳೆ")
    return [f"{words[i % 8]} {i} {words[i // 8 % 8]}" for i in range(n_records)]


def run_job(url: str, n_records: int, *, faults: bool, seed: int, speed: float) -> Ended:
    """Run one job of `n_records` in FILES uploads; return how it ended. Raises TimeoutError."""
    settings = make_resources(f"-{'killed' if faults else 'calm'}-{seed}-{os.getpid()}", speed)
    workspace = Workspace(settings, url, wall_clock_ms(), speed, DOUBLED if faults else 0.0, max(5, n_records // 400))
    effects = workspace.effects()
    random.seed(seed)
    job = _submit(effects, n_records)
    begun_s = time.monotonic()
    fleet = Fleet(workspace, WORKERS, KILLED if faults else 0.0, seed)
    try:
        while _job(effects, job).state not in state_machine.ENDED:
            fleet.watch(0.5)
            if time.monotonic() - begun_s > MAX_JOB_S:
                raise TimeoutError(f"after {MAX_JOB_S} s the job is {_job(effects, job)}; fleet: {fleet.deaths}")
        seconds = time.monotonic() - begun_s
        fleet.watch(2.0 if faults else 0.0)  # late messages are delivered now
    finally:
        fleet.end()
    ended = _read(effects, _job(effects, job))
    ended.seconds, ended.deaths, ended.handled = seconds, fleet.deaths, fleet.handled
    return ended


def cancel_job(url: str, n_records: int, *, speed: float = SPEED) -> tuple[float, list[str]]:
    """Cancel a job when a quarter of its shards has ended, and watch it for long.

    Returns how many seconds after the answer the model was called last (below 0: before it), and what is wrong.
    """
    settings = make_resources(f"-cancelled-{os.getpid()}", speed)
    workspace = Workspace(settings, url, wall_clock_ms(), speed, DOUBLED, max(5, n_records // 400))
    effects = workspace.effects()
    job = _submit(effects, n_records)
    fleet = Fleet(workspace, WORKERS, KILLED, seed=2)
    ends_s = time.monotonic() + MAX_JOB_S
    try:
        while not (now := _job(effects, job)).n_shards or now.shards_done < now.n_shards / 4:
            fleet.watch(0.1)
            if time.monotonic() > ends_s:
                raise TimeoutError(f"the job is {now}")
        make_jobs(effects).cancel(TENANT, job)
        answered_s = time.monotonic()
        while _job(effects, job).state != state_machine.CANCELLED and time.monotonic() < ends_s:
            fleet.watch(0.1)
        ended = _job(effects, job)
        fleet.watch(2 * VISIBILITY_S / speed)  # every message that is left comes again
    finally:
        fleet.end()
    after, counts = _job(effects, job), _read(effects, ended)
    same = replace(after, announced=ended.announced) == ended
    wrong = [] if same else [f"the job changed after its end: {ended} {after}"]
    if (ended.state, counts.n_manifests) != (state_machine.CANCELLED, 1) or len(counts.rows) != ended.records_ok:
        wrong.append(f"the job is {ended.state} with {counts.n_manifests} manifests and {len(counts.rows)} rows")
    return fleet.last_asked_s - answered_s, wrong


def _submit(effects: Effects, n_records: int) -> str:
    jobs, records = make_jobs(effects), texts(n_records)
    names = tuple(f"{i:02d}.jsonl" for i in range(FILES))
    job, _ = jobs.create(TENANT, JobSpec("text-classification", "mini:topic", {}, FormatOptions()), names, "")
    size = -(-n_records // FILES)
    for i, name in enumerate(names):
        lines = (json.dumps({"text": text, "id": text.split()[1]}) for text in records[i * size : (i + 1) * size])
        key = keys.input_prefix(TENANT, job.job) + name
        client("s3").put_object(Bucket=effects.input_bucket, Key=key, Body="\n".join(lines).encode())
    for _ in range(2):  # the start is repeated too
        jobs.start(TENANT, job.job)
    return job.job


def _job(effects: Effects, job: str) -> Job:
    found = load_job(effects.table, TENANT, job)
    assert found is not None
    return found


def _read(effects: Effects, job: Job) -> Ended:
    bucket = effects.output_bucket
    manifest = json.loads(b"".join(effects.objects.read(bucket, keys.manifest_key(TENANT, job.job))))
    rows: list[dict[str, Any]] = []
    for part in manifest["parts"]:
        rows += decode(effects.objects.read(bucket, part["key"]), "jsonl")
    for row in rows:
        row["source"]["key"] = row["source"]["key"].rsplit("/", 1)[-1]
    counts = (job.n_records, job.records_ok, job.records_failed, job.shards_open, job.shards_done, job.n_shards)
    listed = effects.objects.list(bucket, keys.job_prefix(TENANT, job.job) + "/manifest").objects
    return Ended(job.state, rows, counts, len(listed), 0.0)


def differences(calm: Ended, killed: Ended, n_records: int) -> list[str]:
    """Return what is wrong with a job whose fleet was killed, compared with one that was left alone."""
    shards = calm.counts[-1]
    expected: Sequence[tuple[str, object, object]] = [
        ("state", killed.state, state_machine.SUCCEEDED),
        ("records", [row["index"] for row in killed.rows], list(range(n_records))),
        ("ids", [row["id"] for row in killed.rows], [text.split()[1] for text in texts(n_records)]),
        ("counters", killed.counts, (n_records, n_records, 0, 0, shards, shards)),
        ("manifests", killed.n_manifests, 1),
        ("rows", killed.rows, calm.rows),
    ]
    return [f"{name} differ: {str(got)[:200]}" for name, got, want in expected if got != want]


@contextmanager
def model_server() -> Iterator[str]:
    """Serve the fake engine in a process of its own; yields its address."""
    hears, said = FORK.Pipe(duplex=False)
    process = FORK.Process(target=serve_model, args=(said,), daemon=True)
    process.start()
    try:
        yield hears.recv()
    finally:
        process.kill()
        process.join()


def make_resources(suffix: str, speed: float) -> CloudSettings:
    """Make table, buckets and queues on the emulator that the environment names, visibility on the fleet's time."""
    settings = resources(suffix)
    for step in ("plan", "work", "finalize"):
        url = getattr(settings, f"{step}_queue_url")
        client("sqs").set_queue_attributes(
            QueueUrl=url, Attributes={"VisibilityTimeout": str(int(VISIBILITY_S / speed))}
        )
    return settings


def compare(n_records: int, *, seed: int = 1, speed: float = SPEED) -> tuple[Ended, Ended, list[str]]:
    """Run a job twice, without and with faults; return both and what differs."""
    with model_server() as url:
        calm = run_job(url, n_records, faults=False, seed=seed, speed=speed)
        killed = run_job(url, n_records, faults=True, seed=seed, speed=speed)
    return calm, killed, differences(calm, killed, n_records)
