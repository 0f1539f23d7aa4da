"""Tells a shard that breaks the model server from a model server that is down, by a harmless question.

Is handed the question, the clock and the pause. Must not know records or HTTP.
"""

from __future__ import annotations

from collections.abc import Callable

from functions.jobs.records.shard_runs import WORK_SHARE_S
from functions.replica.client import NoReply
from shared.errors import GlossaError, Overloaded, ReplicaError, Unavailable

QUESTION_S = 30.0  # the most that one harmless question waits for its answer
QUICK_S = 10.0  # that every call gets, however small
SLACK = 1.2  # times the seconds that a shard's worth of records may take
HANGS_S = 9.0  # of silence: less is our own time that was over
PAUSE_S = 2.0  # between questions, where the server does not say how long


class ServerHealthCheck:
    """Judges the failures of one worker's run over one suspect shard.

    `ask(deadline_s)` puts a question that breaks nobody, and raises when it is not answered. The rule:

    - A server that says nothing within the time that a call's share of the shard gets hangs at it: that is a
      break like others.
    - A server that does not answer it at the beginning is down, and the run ends without a mark:
      however long it stays away, and whatever a proxy says in its name, that costs no strike.
    - So a call that then breaks (ReplicaError) broke a server that had just been up. It is blamed once
      the server answers the question again; the wait is this run's own, so an open breaker or a
      restart ends nothing. If it does not come back in time, the ReplicaError is raised: a strike.
      An outage that begins right then costs one strike too, but no more, by the first rule.
    - Being turned away (full, not reached, late) blames nothing. Before any break it ends the run as
      ever; after one it is waited out and the call repeated, as the break may be why.

    Hence each run over a shard that breaks the server answers it, narrows it down, or leaves a strike.
    """

    def __init__(
        self,
        ask: Callable[[float], object],
        *,
        clock_s: Callable[[], float],
        pause: Callable[[float], object],
        deadline_s: float,
    ) -> None:
        """`deadline_s` is when the run must be over, on `clock_s`; waits end early enough for the calls to come."""
        self._ask, self._clock_s, self._pause = ask, clock_s, pause
        self._deadline_s = deadline_s
        self._broke: GlossaError | None = None

    def until(self, share: float) -> float:
        """Return when a call that is this share of the shard must be over, so that what hangs is found in one run."""
        return min(self._deadline_s, self._clock_s() + QUICK_S + SLACK * WORK_SHARE_S * share)

    def begin(self) -> None:
        """Ask once. Raises Overloaded or Unavailable when there is no answer: then nobody here is to blame."""
        silence = self._silence()
        if isinstance(silence, Overloaded | Unavailable):
            raise silence
        if silence is not None:
            message = f"the model server does not answer a harmless question: {silence.message}"
            raise Unavailable(message, retry_after_s=silence.retry_after_s)

    def blames_call(self, error: GlossaError) -> bool:
        """Whether the call that failed is to blame, said when the server is back; False: repeat the call.

        Raises the first break when time is up, and `error` itself where waiting cannot help.
        """
        guilty = isinstance(error, ReplicaError) or (isinstance(error, NoReply) and error.waited_s >= HANGS_S)
        if guilty:
            self._broke = self._broke or error
        if self._broke is None or not error.retryable:
            raise error
        if not guilty:
            self._wait(error, self._broke)
        while (silence := self._silence()) is not None:
            self._wait(silence, self._broke)
        return guilty

    def _silence(self) -> GlossaError | None:
        """Ask; return why there is no answer, if there is none."""
        try:
            self._question()
        except GlossaError as error:
            if not error.retryable:
                raise
            return error
        return None

    def _wait(self, why: GlossaError, broke: GlossaError) -> None:
        """Let the seconds pass that `why` asks for. Raises `broke` when the calls to come would not fit any more."""
        left_s = self._deadline_s - WORK_SHARE_S - self._clock_s()
        pause_s = max(PAUSE_S, why.retry_after_s or 0.0)
        if pause_s > left_s:
            raise broke
        self._pause(pause_s)

    def _question(self) -> None:
        self._ask(min(self._deadline_s, self._clock_s() + QUESTION_S))
