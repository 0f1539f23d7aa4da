"""Tasks: invocations of steps that stop before each effect, until the simulator says what happens.

Each runs in a thread of its own, but only one thread runs at a time: the simulator alone decides the order.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

STACK_BYTES = 512 * 1024


class Killed(BaseException):
    """The process died. Nothing catches this."""


@dataclass(frozen=True)
class Point:
    """What a task is about to do. `kind` is read, write, send, model or ack; only reads leave no trace."""

    kind: str
    what: str


class Task:
    """One invocation. It waits at `point`, or is `over` with an `answer`, an `error`, or nothing when it was killed."""

    def __init__(self, name: str, run: Callable[[], Any]) -> None:
        self.name, self.point = name, Point("start", name)
        self.over, self.killed = False, False
        self.answer: Any = None
        self.error: Exception | None = None
        self.knows = False  # it began, or has read the job, after a cancel was acknowledged
        self.before = ""  # the effect before this one
        self._run, self._orders = run, ""
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._body, daemon=True)
        self._thread.start()

    def go(self, *, die: bool = False) -> None:
        """Let it do what it waits to do and run to its next effect, or die right after this one."""
        self._hand_over("die" if die else "go")

    def kill(self) -> None:
        """Let it die where it waits."""
        if not self.over:
            self._hand_over("kill")
        self._thread.join()

    def effect(self, point: Point, do: Callable[[], Any]) -> Any:
        """Wait for the simulator, then do it. The wrapped stores call this in the task's own thread."""
        self.before, self.point = self.point.what, point
        self._back.release()
        self._go.acquire()
        if self._orders == "kill":
            raise Killed
        dies = self._orders == "die"
        try:
            done = do()
        finally:
            if dies:
                raise Killed
        return done

    def _hand_over(self, orders: str) -> None:
        self._orders = orders
        self._go.release()
        self._back.acquire()

    def _body(self) -> None:
        _LOCAL.task = self
        self._go.acquire()
        try:
            if self._orders == "go":
                self.answer = self._run()
            else:
                self.killed = True
        except Killed:
            self.killed = True
        except Exception as error:  # noqa: BLE001 - the simulator judges it
            self.error = error
        self.over = True
        self._back.release()


_LOCAL = threading.local()


def current() -> Task | None:
    """Return the task of this thread, or None in the simulator's own thread."""
    return getattr(_LOCAL, "task", None)


def effect(point: Point, do: Callable[[], Any]) -> Any:
    """Do something when the simulator lets the current task do it."""
    task = current()
    return do() if task is None else task.effect(point, do)
