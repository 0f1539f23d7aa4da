"""Runs a scenario once under a schedule, in a runtime that may do to its steps whatever AWS may do to ours.

The schedule decides at each effect of a task and at each delivery. After its last decision everything goes well: the
sweeper sweeps, and frozen tasks go on. Then the job must be as if nothing had happened.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

from functions.jobs.state.queue_messages import Step
from functions.jobs.storage.in_memory.event_bus import InMemoryEventBus
from functions.jobs.storage.in_memory.queue import Message
from functions.jobs.storage.in_memory.table import InMemoryTable
from shared.errors import Conflict, NotFound
from tests.simulator.effects import stopping, witnessed
from tests.simulator.invariants import Invariants, Violation, must
from tests.simulator.mutations import Mutation
from tests.simulator.scenarios import Scenario
from tests.simulator.schedule import GO, Schedule
from tests.simulator.tasks import Point, Task, effect
from tests.unit.functions.jobs.wiring import make_jobs
from tests.unit.functions.jobs.world import LONG_S, STEPS, TENANT, World

JUMP_S = 1000.0  # longer than a shard or job may stand still
WAIT_S = 400.0  # longer than a lease lasts
LIFE_S = 300.0  # of a function, in scenarios that say so; in the others a process may freeze for longer
MAX_JUMPS = 60
MAX_DECISIONS = 60_000


@dataclass
class Outcome:
    """What a run came to: its decisions, in words where they were not the default, and the broken promise, if any."""

    n_decisions: int
    points: list[Point]
    story: list[str]
    broken: Violation | None


@dataclass
class Invocation:
    """A task, the event that it handles (None for the sweeper and for orders), and when it began."""

    task: Task
    step: Step | None
    event: dict[str, Any] | None
    began_ms: int
    spawn: Callable[[], Invocation] | None = None


class Run:
    """Runs a scenario once. `mutation` plants a bug."""

    def __init__(self, scenario: Scenario, schedule: Schedule, mutation: Mutation | None = None) -> None:
        self.scenario, self.schedule = scenario, schedule
        self.world = World(max_records=scenario.max_records, step_shards=scenario.step_shards)
        self.world.recipe()
        self._fixed = False
        scenario.poison(self.world)
        self.job = scenario.drop(self.world)
        plain = self.world.effects
        assert isinstance(plain.table, InMemoryTable)
        self.invariants = Invariants(plain.table, self.world.objects, TENANT, self.job)
        mutant = mutation or Mutation("none")
        effects = mutant.effects(stopping(witnessed(plain, self.invariants)), self.world)
        self.world.respond = self._model
        self.world.use(effects)
        mutant.steps(self.world)
        self.world.effects = plain  # so that looking at it is no effect
        self.jobs = make_jobs(effects)
        self.running: list[Invocation] = []
        self.frozen: list[Invocation] = []
        self.outcome = Outcome(0, [], [], None)
        self._n_named = 0
        self._calm = False

    def play(self) -> Outcome:
        """Play it to the end."""
        random.seed(0)  # for the random part of waits
        try:
            with redirect_stdout(io.StringIO()):
                self._play()
        except Violation as violation:
            self.outcome.broken = violation
        finally:
            for left in [*self.running, *self.frozen]:
                left.task.kill()
        return self.outcome

    def _play(self) -> None:
        self._run_until_rest()
        for order in self.scenario.orders:
            if order == "fix":
                self.world.echo.poison_error = None
                self._fixed = True
            else:
                self._order(order)
                self._run_until_rest()
        while self.frozen:
            self._thaw()
            self._run_until_rest()
        self._calm = True
        for _ in range(2):  # these remove what a cancelled job left in the index
            self._sweep()
            self._run_until_rest()
        self.invariants.judge_end(self._expected, self.scenario.states(self.story_has), len(self.scenario.texts))
        self._judge_announced()

    def _judge_announced(self) -> None:
        """Whoever listens was told of the end, whatever was lost."""
        bus, job = self.world.effects.event_bus, self.invariants.job()
        assert isinstance(bus, InMemoryEventBus)
        told = {event["detail"]["id"] for event in bus.events}
        must(job["state"] == "DELETED" or f"{self.job}.{job['generation']}" in told, "nobody was told of the end")

    def story_has(self, order: str) -> bool:
        """Whether an order came in this run."""
        return any(order in line for line in self.outcome.story) or order in self.scenario.orders

    def _expected(self, index: int) -> object:
        text = self.scenario.texts[index]
        return None if text in self.scenario.bad and not self._fixed else text[::-1]

    # ---- the loop

    def _run_until_rest(self) -> None:
        """Run until the job rests and nothing is on its way."""
        jumps = 0
        while True:
            if self.running:
                self._step(self.running[-1])
            elif not self._deliver():
                if self.invariants.resting() and not any(self.world.queue.waiting(step) for step in STEPS):
                    return
                jumps += 1
                must(
                    jumps <= MAX_JUMPS,
                    f"the job still is {self.invariants.job().get('state')} after {MAX_JUMPS} sweeps",
                )
                self._pass_time()
            if self.invariants.broken is not None:
                raise self.invariants.broken
            must(self.outcome.n_decisions < MAX_DECISIONS, "the run does not end")

    def _decide(self, point: Point) -> str:
        number = self.outcome.n_decisions
        self.outcome.n_decisions += 1
        self.outcome.points.append(point)
        action = GO if self._calm else self.schedule.decide(number, point)
        if action != GO:
            self.outcome.story.append(f"{number:5d} {action:13s} {point.what}")
        return action

    def _step(self, invocation: Invocation) -> None:
        task = invocation.task
        if self.scenario.mortal and self.world.clock() - invocation.began_ms > LIFE_S * 1000:
            task.kill()
        if task.over:
            self._end(invocation)
            return
        action = self._decide(Point(task.point.kind, f"{task.name}: {task.point.what}"))
        if action == "crash before":
            task.kill()
        elif action == "crash after":
            task.go(die=True)
        elif action == "freeze":
            self.running.remove(invocation)
            self.frozen.append(invocation)
        elif action != GO:
            self._meanwhile(action, invocation)
        else:
            task.go()

    def _meanwhile(self, action: str, invocation: Invocation) -> None:
        """Let something else happen while a task waits."""
        if action == "twin" and invocation.spawn is not None:
            self.running.append(invocation.spawn())
        elif action == "next":
            self._deliver()
        elif action == "thaw":
            self._thaw()
        elif action == "wait":
            self.world.clock.pass_s(WAIT_S)
        elif action == "sweep":
            self._sweep()
        elif action == "overwrite":
            self.scenario.overwrite(self.world)
        elif action in {"cancel", "redrive", "delete"}:
            self._order(action, wait=False)

    def _thaw(self) -> None:
        if self.frozen:
            self.running.append(self.frozen.pop(0))

    def _pass_time(self) -> None:
        visible_ms = self.world.queue.next_visible_ms()
        now_ms = self.world.clock()
        if visible_ms is not None and visible_ms < now_ms + JUMP_S * 1000:
            self.world.clock.now_ms = max(now_ms + 1, visible_ms)
            return
        self._sweep()

    def _sweep(self) -> None:
        self.world.clock.pass_s(JUMP_S)
        self._spawn("sweep", lambda: self.world.sweeper.run(lambda: LONG_S))

    # ---- deliveries

    def _deliver(self) -> bool:
        """Take a message that is visible, or let it suffer; False when there is none."""
        seen = self.world.queue.visible()
        if not seen:
            return False
        action, _, which = self._decide(Point("pick", f"{len(seen)} messages")).partition(" ")
        step, message = seen[int(which) % len(seen) if which.isdigit() else 0]
        first = "aws.s3" in message.body
        if action == "drop" and not first:  # an event of S3 is never lost: without it there is no job
            self.world.queue.acknowledge(step, {"Records": [{"messageId": message.id}]}, {"batchItemFailures": []})
        elif action == "delay":
            self.world.queue.return_message(step, message.id, int(JUMP_S))
        else:
            if action == "dup":
                self.world.queue.put(step, message.body)
            self._invoke(step, message)
        return True

    def _invoke(self, step: Step, message: Message) -> None:
        event = self.world.queue.receive(step, only=message.id)
        assert event is not None

        def spawn() -> Invocation:
            self._n_named += 1
            task = Task(f"{step}#{self._n_named}", lambda: self.world.answer(step, event))
            return self._new(Invocation(task, step, event, self.world.clock(), spawn))

        self.running.append(spawn())

    def _spawn(self, name: str, run: Callable[[], Any]) -> Task:
        self._n_named += 1
        task = Task(f"{name}#{self._n_named}", run)
        self.running.append(self._new(Invocation(task, None, None, self.world.clock())))
        return task

    def _new(self, invocation: Invocation) -> Invocation:
        invocation.task.knows = self.invariants.acknowledged
        return invocation

    def _end(self, invocation: Invocation) -> None:
        self.running.remove(invocation)
        task = invocation.task
        if task.error is not None and not isinstance(task.error, Conflict | NotFound):
            raise Violation(f"{task.name} raised {type(task.error).__name__}: {task.error}")
        if task.killed or invocation.step is None or invocation.event is None:
            return
        if self._decide(Point("ack", f"{task.name}: acknowledge")) != "crash before":
            self.world.queue.acknowledge(invocation.step, invocation.event, task.answer)

    # ---- orders

    def _order(self, order: str, *, wait: bool = True) -> None:
        """Have the API do what a person asks; the person repeats it when there was no answer."""

        def ask() -> None:
            if order == "cancel":
                self.jobs.cancel(TENANT, self.job)
                self.invariants.acknowledged = True
            elif order == "redrive":
                self.jobs.redrive(TENANT, self.job)
            else:
                self.jobs.delete(TENANT, self.job)

        for _ in range(20):
            task = self._spawn(order, ask)
            if not wait:
                return
            while not task.over or any(each.task is task for each in self.running):
                if all(each.task is not task for each in self.running):
                    break  # it is frozen, which is the same as no answer
                self._step(self.running[-1])
            if not task.killed and task.over:
                return

    def _model(self, request: Any) -> Any:
        def call() -> Any:
            self.invariants.called_model()
            return self.world.echo(request)

        return effect(Point("model", f"{len(request.inputs)} texts"), call)


def play(scenario: Scenario, schedule: Schedule, mutation: Mutation | None = None) -> Outcome:
    """Run a scenario once under a schedule."""
    return Run(scenario, schedule, mutation).play()
