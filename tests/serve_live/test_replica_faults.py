"""What callers see of a model whose only replica is killed or stalls, on a real Ray Serve."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator

import psutil
import pytest
from urllib3.exceptions import ProtocolError

from shared.messages import InferCall, Tensor
from tests.serve_live.conftest import Answer, Server
from tests.serve_live.tree import descendants, running

pytestmark = [pytest.mark.ray, pytest.mark.skipif(sys.platform != "linux", reason="finds replicas by their titles")]

BACK_S = 60.0  # far longer than a replica takes to come back, so that a slow machine fails no test
PAUSE_S = 0.05
MODEL = "narrow"


LOST = Answer(0, {}, b"")  # HAProxy closes the caller's connection when a kept one to the replica turns out dead

FAILED = {LOST.status, 502, 503, 504}


def _ask(server: Server, model: str = MODEL) -> Answer:
    ids = Tensor.ints([0, 7, 2])
    try:
        return server.infer(InferCall(model, "topic", ids, Tensor.ints([3]), timeout_s=10.0))
    except ProtocolError:
        return LOST


def _replica(server: Server) -> int:
    """Return the process of the model's only replica that runs."""
    title = f"ray::ServeReplica:{MODEL}:"
    found = [pid for pid in running(descendants(server.pid)) if _title(pid).startswith(title)]
    assert len(found) == 1, f"got replicas {found}, expected one"
    return found[0]


def _title(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.NoSuchProcess:
        return ""


def _until_answered(server: Server) -> Iterator[Answer]:
    """Send calls one after the other until one is answered. Yield those that were not."""
    ends_s = time.monotonic() + BACK_S
    while (answer := _ask(server)).status != 200:
        yield answer
        assert time.monotonic() < ends_s, f"no answer after {BACK_S:g} s; the last: {answer.status} {answer.body!r}"
        time.sleep(PAUSE_S)


def _check_refusals(answers: list[Answer]) -> None:
    """Check that calls were refused. The application at /v2 names the time to wait; HAProxy alone cannot know one."""
    refused = [answer for answer in answers if answer.status == 503]
    assert refused
    assert {answer.status for answer in answers} <= FAILED
    assert {answer.json["code"] for answer in refused} == {"unavailable"}
    told = [answer for answer in refused if "has 0 replicas now" in answer.json["error"]]
    assert min(int(answer.headers["retry-after"]) for answer in told) >= 1


def test_calls_to_a_model_whose_replica_was_killed_are_refused_until_it_is_back(server: Server) -> None:
    """None waits for the replica. Other models answer meanwhile."""
    assert _ask(server).status == 200
    os.kill(_replica(server), signal.SIGKILL)
    answers = []
    for answer in _until_answered(server):
        answers.append(answer)
        assert _ask(server, "small").status == 200
    _check_refusals(answers)


def test_a_stalled_replica_is_replaced(server: Server) -> None:
    """Calls to a process that was stopped fail, then another process answers. The stopped one is gone."""
    assert _ask(server).status == 200
    stalled = _replica(server)
    os.kill(stalled, signal.SIGSTOP)
    try:
        assert {answer.status for answer in _until_answered(server)} <= FAILED
        assert _replica(server) != stalled
    finally:
        if running({stalled}):
            os.kill(stalled, signal.SIGKILL)
