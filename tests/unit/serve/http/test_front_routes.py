"""The application at /v2: readiness, metadata, the index of models, and paths that no model takes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping

from serve.http.callers import no_check
from serve.http.front_routes import FrontRoutes, ServedModel
from tests.unit.serve.asgi import Reply, call


def _ask_server(states: Mapping[str, str] | None, *paths: tuple[str, str]) -> list[Reply]:
    """Send requests to the application at /v2. `states` are those of the models, or None when asking fails."""

    def ask() -> Mapping[str, str]:
        if states is None:
            raise ConnectionError("planted")
        return states

    models = ServedModel("toy", "1"), ServedModel("other", "3")
    app = FrontRoutes(models, ask, verifier=no_check).__serve_build_asgi_app__()

    async def whole() -> list[Reply]:
        return [await call(app, method, path, prefix="/v2") for method, path in paths]

    return asyncio.run(whole())


def test_server_is_ready_when_all_models_are() -> None:
    """It is always live. It is ready only when each model's application runs. The answer names the others."""
    paths = ("GET", "/health/live"), ("GET", "/health/ready")
    assert [reply.status for reply in _ask_server({"toy": "RUNNING", "other": "RUNNING"}, *paths)] == [200, 200]
    live, ready = _ask_server({"toy": "RUNNING", "other": "DEPLOYING"}, *paths)
    assert (live.status, ready.status) == (200, 503)
    assert ready.json["error"] == "not ready: other: DEPLOYING"
    assert _ask_server(None, *paths)[1].status == 503


def test_server_queries_states_once_for_all_requests() -> None:
    """Many requests at a time start one query. A request that stops waiting does not end it for the others."""
    asked: list[str] = []
    gate = threading.Event()

    def ask() -> Mapping[str, str]:
        asked.append("")
        assert gate.wait(10)
        return {"toy": "RUNNING"}

    app = FrontRoutes((ServedModel("toy", "1"),), ask, verifier=no_check).__serve_build_asgi_app__()

    async def whole() -> list[Reply]:
        first, *others = [asyncio.create_task(call(app, "GET", "/health/ready", prefix="/v2")) for _ in range(8)]
        for _ in range(5):
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        others.append(asyncio.create_task(call(app, "GET", "/health/ready", prefix="/v2")))
        await asyncio.sleep(0)
        gate.set()
        return await asyncio.gather(*others)

    assert [reply.status for reply in asyncio.run(whole())] == [200] * 8
    assert len(asked) == 1


def test_server_describes_itself_and_its_models() -> None:
    """Server metadata names the protocol's extensions. The index has each model's state."""
    server, index = _ask_server({"toy": "RUNNING"}, ("GET", ""), ("POST", "/repository/index"))
    assert server.json["name"] == "glossa"
    assert {"binary_tensor_data", "classification", "model_repository"} <= set(server.json["extensions"])
    assert [(entry["name"], entry["version"], entry["state"]) for entry in index.json] == [
        ("toy", "1", "READY"), ("other", "3", "UNAVAILABLE"),
    ]  # fmt: skip


def test_the_index_can_be_of_ready_models_alone() -> None:
    """As the extension says: `ready` true leaves out the others. A body that cannot be read is refused."""
    states = {"toy": "RUNNING"}
    app = FrontRoutes((ServedModel("toy", "1"), ServedModel("other", "3")), lambda: states, verifier=no_check)
    bodies = b'{"ready": true}', b'{"ready": false}', b"", b"[]", b" " * 5000

    async def whole() -> list[Reply]:
        served = app.__serve_build_asgi_app__()
        return [await call(served, "POST", "/repository/index", body=body, prefix="/v2") for body in bodies]

    replies = asyncio.run(whole())
    assert [reply.status for reply in replies] == [200, 200, 200, 400, 413]
    assert [len(reply.json) for reply in replies[:3]] == [1, 2, 2]


def test_server_names_the_allowed_methods() -> None:
    """A method that a path does not take is 405 in the body too, with the allowed ones in `Allow`."""
    (reply,) = _ask_server({}, ("PUT", "/health/live"))
    assert (reply.status, reply.json["status"], reply.json["code"]) == (405, 405, "method-not-allowed")
    assert reply.json["error"] == "got PUT on /v2/health/live, expected GET or HEAD"
    assert reply.headers["allow"] == "GET, HEAD"


def test_server_answers_for_models_that_are_not_running() -> None:
    """An unknown model or version is 404 with the known names. A known model that does not run is 503."""
    unknown, version, known, same, ready, nothing = _ask_server(
        {},
        ("POST", "/models/none/infer"),
        ("GET", "/models/toy/versions/9"),
        ("GET", "/models/toy"),
        ("POST", "/models/toy/versions/1/infer"),
        ("GET", "/models/toy/ready"),
        ("GET", "/nothing"),
    )
    assert [unknown.status, version.status, nothing.status] == [404, 404, 404]
    assert [known.status, same.status, ready.status] == [503, 503, 503]
    assert unknown.json["error"] == "no model 'none'; models: ['other', 'toy']"
    assert known.headers["retry-after"] == "15"
    assert known.json["error"] == "model 'toy' has 0 replicas now, expected 1 or more"


def test_an_idle_model_is_woken_once() -> None:
    """However many calls come, one replica is asked for. The server is ready meanwhile, and calls are not kept."""
    woken: list[str] = []
    states = {"toy": "IDLE"}

    async def whole() -> list[Reply]:
        gate = asyncio.Event()

        async def wake(model: str) -> None:
            woken.append(model)
            await gate.wait()

        app = FrontRoutes((ServedModel("toy", "1"),), lambda: states, wake=wake, verifier=no_check)
        served = app.__serve_build_asgi_app__()
        ready = await call(served, "GET", "/health/ready", prefix="/v2")
        replies = [await call(served, "POST", "/models/toy/infer", prefix="/v2") for _ in range(9)]
        states["toy"] = "RUNNING"
        gate.set()
        return [ready, *replies]

    ready, *replies = asyncio.run(whole())
    assert ready.status == 200
    assert {(reply.status, reply.headers["retry-after"]) for reply in replies} == {(503, "15")}
    assert woken == ["toy"]


def test_a_model_that_lost_its_replica_is_not_woken() -> None:
    """Serve starts it again by itself. A server that has no way to wake a model refuses in the same way."""
    woken: list[str] = []

    async def wake(model: str) -> None:
        woken.append(model)

    async def whole(app: FrontRoutes) -> int:
        served = app.__serve_build_asgi_app__()
        await call(served, "GET", "/health/ready", prefix="/v2")
        return (await call(served, "POST", "/models/toy/infer", prefix="/v2")).status

    models = (ServedModel("toy", "1"),)
    assert asyncio.run(whole(FrontRoutes(models, lambda: {"toy": "UNHEALTHY"}, wake=wake, verifier=no_check))) == 503
    assert asyncio.run(whole(FrontRoutes(models, lambda: {"toy": "IDLE"}, verifier=no_check))) == 503
    assert woken == []
