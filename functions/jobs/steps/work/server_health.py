"""Tells a record that breaks the model server from a model server that is down, by a probe that every model can answer.

The probe, the clock and the pause are given. Must not know records or HTTP.
"""

from __future__ import annotations

from collections.abc import Callable

from functions.jobs.records.shard_runs import MAX_SHARD_S
from functions.replica.failures import NoReply
from shared.errors import GlossaError, Overloaded, ReplicaError, Unavailable

PROBE_TIMEOUT_S = 30.0  # the most that one probe waits for its answer
MIN_CALL_S = 10.0  # the time that every call gets, however small
SLACK = 1.2  # times the seconds that answering a whole shard may take
MIN_SILENCE_S = 9.0  # a shorter silence says nothing: we may have given the server too little time (D52)
MIN_PAUSE_S = 2.0  # between probes, when the server does not say how long to wait


class ServerHealthCheck:
    """Judges the failed calls of one worker over one suspect shard.

    `probe(deadline_s)` asks the server something harmless, and raises when there is no answer. A call breaks the server
    when the server answers with an error of its own, or not at all within the call's share of the shard's time.

    | situation                                           | strike? | what happens                                   |
    |-----------------------------------------------------|---------|------------------------------------------------|
    | 1. no answer to the probe before the first call     | no      | the run ends: the server is down               |
    | 2. a call breaks the server                         | not yet | the worker waits and probes                    |
    | 3. after 2, the server answers the probe again      | no      | the call is blamed, and its records are split  |
    | 4. after 2, it does not come back in time           | yes     | the error of the first break is raised         |
    | 5. full, out of reach or late, before any break     | no      | the run ends                                   |
    | 6. full, out of reach or late, after a break        | no      | a wait, then the same call again               |

    In situation 1 it does not matter what a proxy answers in the server's name. The worker itself waits in situation 2,
    so an open circuit breaker or a restart does not end the run. An outage that begins during a call looks like
    situation 4. It costs one strike, and no more, because situation 1 follows. So each run over such a shard answers
    it, finds a smaller group to blame, or leaves a strike.
    """

    def __init__(
        self,
        probe: Callable[[float], object],
        *,
        clock_s: Callable[[], float],
        pause: Callable[[float], object],
        deadline_s: float,
    ) -> None:
        """`deadline_s` is when the run must end, on `clock_s`. Waits end early enough for the calls that follow."""
        self._probe, self._clock_s, self._pause = probe, clock_s, pause
        self._deadline_s = deadline_s
        self._first_break: GlossaError | None = None

    def call_deadline_s(self, share: float) -> float:
        """Return when a call with this share of the shard must end, so that one run can find a call that hangs."""
        return min(self._deadline_s, self._clock_s() + MIN_CALL_S + SLACK * MAX_SHARD_S * share)

    def require_answer(self) -> None:
        """Probe once. Raises Overloaded or Unavailable when there is no answer: then no record is to blame."""
        failure = self._probe_failure()
        if isinstance(failure, Overloaded | Unavailable):
            raise failure
        if failure is not None:
            message = f"the model server does not answer a probe: {failure.message}"
            raise Unavailable(message, retry_after_s=failure.retry_after_s)

    def blames_call(self, error: GlossaError) -> bool:
        """Whether the failed call is to blame, once the server is back. False means: repeat the call.

        Raises the error of the first break when time is up, and `error` itself where waiting cannot help.
        """
        breaks = isinstance(error, ReplicaError) or (isinstance(error, NoReply) and error.waited_s >= MIN_SILENCE_S)
        if breaks:
            self._first_break = self._first_break or error
        if self._first_break is None or not error.retryable:
            raise error
        if not breaks:
            self._wait(error, self._first_break)
        while (failure := self._probe_failure()) is not None:
            self._wait(failure, self._first_break)
        return breaks

    def _probe_failure(self) -> GlossaError | None:
        """Probe; return why there is no answer, or None when there is one."""
        try:
            self._probe(min(self._deadline_s, self._clock_s() + PROBE_TIMEOUT_S))
        except GlossaError as error:
            if not error.retryable:
                raise
            return error
        return None

    def _wait(self, failure: GlossaError, first_break: GlossaError) -> None:
        """Wait as long as `failure` asks for. Raises `first_break` when no time would be left for the calls."""
        left_s = self._deadline_s - MAX_SHARD_S - self._clock_s()
        pause_s = max(MIN_PAUSE_S, failure.retry_after_s or 0.0)
        if pause_s > left_s:
            raise first_break
        self._pause(pause_s)
