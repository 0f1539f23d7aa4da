"""Says whether a runner's engine answers, quickly enough for whoever replaces a replica that does not.

A stalled process answers no check at all. So each check returns within a second or two, however long passes take. Must
not know HTTP or Ray.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future
from dataclasses import dataclass

from serve.scheduling.runner import Runner


@dataclass(frozen=True, slots=True)
class HealthTimes:
    """How long a health check waits, in seconds.

    No probe is needed when a pass succeeded within the last `fresh_s`. A check waits `check_s` for a probe, and leaves
    one that has not ended to the next check. A probe may take `probe_s`, and longer while it waits for a pass of rows.
    No pass may run for longer than `stuck_s`.
    """

    check_s: float = 1.0
    probe_s: float = 10.0
    fresh_s: float = 10.0
    stuck_s: float = 60.0


class Health:
    """Checks a runner. At most one probe of it runs or waits at a time, however many ask."""

    def __init__(self, runner: Runner, times: HealthTimes) -> None:
        self._runner = runner
        self._times = times
        self._probe: Future[None] | None = None
        self._since_s = 0.0

    async def check(self) -> None:
        """Return when the engine answers or is at work. Raises when it fails, or does not answer in time.

        The probe is a forward pass of one token. A thread of the engine runs it before the next batch, so it gets its
        turn under any load.
        """
        times = self._times
        if self._runner.is_stuck(times.stuck_s):
            raise TimeoutError(f"a forward pass runs for over {times.stuck_s:g} s")
        if self._runner.is_fresh(times.fresh_s) and not self._runner.is_draining:
            return
        if self._probe is None:
            self._probe, self._since_s = self._runner.probe(), time.monotonic()
        probe = self._probe
        try:
            await asyncio.wait_for(asyncio.wrap_future(probe), times.check_s)
        except TimeoutError:
            if time.monotonic() - self._since_s >= times.probe_s and not self._runner.is_running:
                raise TimeoutError(f"a forward pass of one token runs for over {times.probe_s:g} s") from None
        finally:
            if probe.done() and self._probe is probe:
                self._probe = None
