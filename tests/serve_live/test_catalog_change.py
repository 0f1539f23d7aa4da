"""A catalog changes while calls come in: only what changed is deployed, and every other model answers throughout."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from local import model_server
from shared.messages import InferCall, Tensor
from tests.serve_live.conftest import Answer, Server

pytestmark = pytest.mark.ray


def _call(model: str) -> InferCall:
    return InferCall(model, "topic", Tensor.ints([0, 7, 2]), Tensor.ints([3]), timeout_s=20.0)


@contextmanager
def _calls(server: Server, *models: str) -> Iterator[Counter[tuple[str, int | str]]]:
    """Call each model without a pause: on one connection, and on a new one each time. Count the answers by status."""
    seen: Counter[tuple[str, int | str]] = Counter()
    ended = threading.Event()

    def repeat(name: str, send: Callable[[], Answer]) -> None:
        while not ended.wait(0.01):
            try:
                seen[name, send().status] += 1
            except Exception as error:  # noqa: BLE001 - an outage too, whatever its form
                seen[name, repr(error)[:200]] += 1

    sends: list[tuple[str, Callable[[], Answer]]] = [
        (model, partial(server.infer, _call(model), headers))
        for model in models
        for headers in ({}, {"connection": "close"})
    ]
    sends.append(("server", partial(server.ask, "GET", "/v2/health/ready")))
    callers = [threading.Thread(target=repeat, args=each) for each in sends]
    for caller in callers:
        caller.start()
    try:
        yield seen
    finally:
        ended.set()
        for caller in callers:
            caller.join()


def _index(server: Server) -> dict[str, str]:
    return {entry["name"]: entry["state"] for entry in server.ask("POST", "/v2/repository/index").json}


def test_other_models_answer_while_one_is_added_changed_and_removed(server: Server) -> None:
    """Every call to another model gets 200, and so does every call to the changed one, and the server stays ready."""
    before = server.path.read_text(encoding="utf-8")
    entry = before[before.index("[models.narrow]") :].replace("[models.narrow]", "[models.late]")
    changed = entry.replace("max_backlog_tokens = 600", 'revision = "2"')
    pid = server.pid

    def follow(text: str) -> None:
        server.path.write_text(text, encoding="utf-8")
        model_server.start(server.workspace, server.path)

    try:
        with _calls(server, "small") as others:
            follow(before + entry)
            assert server.infer(_call("late")).status == 200
            assert _index(server)["late"] == "READY"
            with _calls(server, "late") as own:
                follow(before + changed)
            assert server.ask("GET", "/v2/models/late").json["versions"] == ["2"]
            follow(before)
        assert server.ask("POST", "/v2/models/late/infer").status == 404
        assert "late" not in _index(server)
    finally:
        follow(before)
    assert set(others) == {("small", 200), ("server", 200)}
    assert set(own) == {("late", 200), ("server", 200)}
    assert server.pid == pid
