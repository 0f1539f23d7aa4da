"""Any sequence of deliveries, crashes, repetitions, losses and orders leaves the true job as the reference says."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from functions.jobs.storage.in_memory.table import InMemoryTable
from shared.errors import Conflict, NotFound
from tests.simulator.effects import stopping, witnessed
from tests.simulator.invariants import Invariants
from tests.simulator.reference import ENDED, STAGES, ReferenceJob
from tests.simulator.scenarios import Scenario
from tests.simulator.tasks import Task
from tests.unit.functions.jobs.wiring import make_jobs
from tests.unit.functions.jobs.world import LONG_S, TENANT, World

RECORDS = 3  # of a shard
REACHED = {  # (queue, stage) -> the effects after which the stage is reached
    ("plan", "begun"): ("update job PLANNING",),
    ("plan", "shards"): ("update plan + put shard", "update shard"),
    ("work", "claimed"): ("LEASED",),
    ("work", "part"): ("put parts",),
    ("work", "counted"): ("DONE", "FAILED"),
    ("finalize", "closed"): ("update job FINALIZING",),
    ("finalize", "manifest"): ("put manifest",),
}
DEATHS = st.sampled_from(sorted({stage for _, stage in REACHED}))


class JobMachine(RuleBasedStateMachine):
    """One job of one to three shards, some with bad records, and its reference."""

    @initialize(bad=st.lists(st.lists(st.booleans(), min_size=RECORDS, max_size=RECORDS), min_size=1, max_size=3))
    def create(self, bad: list[list[bool]]) -> None:
        """Drop an object."""
        self.texts = [f"{i}" for i in range(RECORDS * len(bad))]
        flat = [each for row in bad for each in row]
        self.world = World(max_records=RECORDS)
        self.world.recipe()
        self.world.echo.poisons = {text for text, wrong in zip(self.texts, flat, strict=True) if wrong}
        self.world.echo.poison_error = Scenario("", 1, poisoned=True).refusal
        data = "".join(json.dumps({"text": text}) + "\n" for text in self.texts).encode()
        self.job = self.world.drop("in.jsonl", data)
        self.reference = ReferenceJob([(RECORDS, sum(row)) for row in bad])
        plain = self.world.effects
        assert isinstance(plain.table, InMemoryTable)
        self.truth = Invariants(plain.table, self.world.objects, TENANT, self.job)
        stopped = stopping(witnessed(plain, self.truth))
        self.world.use(stopped)
        self.jobs, self.world.effects = make_jobs(stopped), plain

    # ---- deliveries

    @rule(which=st.integers(0, 50), stage=DEATHS)
    @precondition(lambda self: self.world.queue.visible() and not self.tired())
    def crash(self, which: int, stage: str) -> None:
        """Deliver a message to a process that dies when it has reached a stage, if it ever does."""
        self._deliver(which, stage)

    @rule(which=st.integers(0, 50), copies=st.integers(1, 2))
    @precondition(lambda self: self.world.queue.visible())
    def deliver(self, which: int, copies: int) -> None:
        """Deliver a message, once or twice."""
        for _ in range(copies):
            if self.world.queue.visible():
                self._deliver(which, "whole", keep=copies == 2)

    @rule(which=st.integers(0, 50))
    @precondition(lambda self: any("aws.s3" not in message.body for _, message in self.world.queue.visible()))
    def lose(self, which: int) -> None:
        """Lose a message that does not come from S3."""
        seen = [each for each in self.world.queue.visible() if "aws.s3" not in each[1].body]
        step, message = seen[which % len(seen)]
        self.world.queue.acknowledge(step, {"Records": [{"messageId": message.id}]}, {"batchItemFailures": []})

    @rule(seconds=st.sampled_from([1, 60, 340, 1000, 2000]))
    def wait(self, seconds: int) -> None:
        """Let time pass: leases end, and messages come again."""
        self.world.clock.pass_s(seconds)

    @rule()
    @precondition(lambda self: not self.tired())
    def sweep(self) -> None:
        """Sweep after a long time."""
        self.world.clock.pass_s(1000)
        self._quietly(lambda: self.world.sweeper.run(lambda: LONG_S))

    # ---- orders

    @rule()
    def fix(self) -> None:
        """Fix the model."""
        self.world.echo.poison_error = None
        self.reference.fixed = True

    @rule(order=st.sampled_from(["cancel", "redrive", "redrive", "delete"]))
    @precondition(lambda self: self.reference.state != "NONE")
    def order(self, order: str) -> None:
        """Give an order. It is accepted exactly when the reference accepts it."""
        reference = self.reference
        asked: dict[str, tuple[Callable[[], Any], Callable[[], bool]]] = {
            "cancel": (lambda: self.jobs.cancel(TENANT, self.job), reference.cancel),
            "redrive": (lambda: self.jobs.redrive(TENANT, self.job), reference.redrive),
            "delete": (lambda: self.jobs.delete(TENANT, self.job), lambda: reference.delete(self.world.clock())),
        }
        do, expect = asked[order]
        try:
            do()
        except (Conflict, NotFound):
            taken = False
        else:
            taken = True
        assert taken == expect(), f"{order} of a job that is {reference.state}"

    # ---- what must hold after each rule

    @invariant()
    def agrees(self) -> None:
        """State, generation, counters and shards are the reference's."""
        if not hasattr(self, "reference"):
            return
        if self.truth.broken is not None:
            raise self.truth.broken
        reference, job = self.reference, self.truth.job()
        assert job.get("state", "NONE") == reference.state
        if reference.state in {"NONE", "DELETING", "DELETED"}:
            return
        assert job["generation"] == reference.generation
        said = (job["records_ok"], job["records_failed"], job["shards_done"] + job["shards_failed"])
        assert said == reference.counts()
        shards = [shard for _, shard in sorted(self.truth.shards().items())]
        assert [s["state"] in {"DONE", "FAILED"} for s in shards] == [s.counted for s in reference.shards]
        assert [s["generation"] for s in shards] == [s.generation for s in reference.shards]

    def teardown(self) -> None:
        """Let everything go well from here on: the job ends as the reference does, and all its rows exist."""
        if not hasattr(self, "reference"):
            return
        for _ in range(60):
            while self.world.queue.visible():
                self._deliver(0, "whole")
            if self.reference.state in ENDED | {"DELETED"} and not any(
                self.world.queue.waiting(s) for s in STAGES if s != "redrive"
            ):
                break
            self.world.clock.pass_s(1000)
            self._quietly(lambda: self.world.sweeper.run(lambda: LONG_S))
        for _ in range(2):
            self.world.clock.pass_s(1000)
            self._quietly(lambda: self.world.sweeper.run(lambda: LONG_S))
        self.agrees()
        self.truth.judge_end(self._expected, {self.reference.state}, len(self.texts))

    def _expected(self, index: int) -> str | None:
        shard = self.reference.shards[index // RECORDS]
        text = self.texts[index]
        return text[::-1] if shard.parts[shard.generation] or text not in self.world.echo.poisons else None

    # ---- deliveries, one by one

    def tired(self) -> bool:
        """Return whether a shard has died so often that it is about to be given up. The reference leaves that out."""
        return any(shard.strikes + shard.held >= 4 for shard in self.reference.shards)

    def _deliver(self, which: int, stage: str, *, keep: bool = False) -> None:
        seen = self.world.queue.visible()
        step, message = seen[which % len(seen)]
        if keep:
            self.world.queue.put(step, message.body)
        event = self.world.queue.receive(step, only=message.id)
        assert event is not None
        now_ms = self.world.clock()
        task = Task(step, lambda: self.world.answer(step, event))
        reached = self._quietly(lambda: self._run_to(task, step, stage))
        if reached == "whole":
            assert task.error is None, task.error
            self.world.queue.acknowledge(step, event, task.answer)
        if step == "plan":
            self.reference.plan(reached)
        elif step == "work":
            self.reference.work(int(json.loads(message.body)["shard"][:8]), reached, now_ms)
        elif step == "finalize":
            self.reference.finalize(reached, now_ms)

    def _run_to(self, task: Task, step: str, stage: str) -> str:
        """Run a task until a stage is done; return the stage that it reached."""
        while not task.over:
            if task.point.kind == "write" and any(sign in task.point.what for sign in REACHED.get((step, stage), ())):
                task.go(die=True)
                return stage
            task.go()
        return "whole"

    def _quietly(self, do: Callable[[], Any]) -> Any:
        with redirect_stdout(io.StringIO()):
            return do()


TestJobMachine = JobMachine.TestCase
TestJobMachine.settings = settings(
    max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
