"""A real Ray Serve on loopback: the protocol, the bounds, and which ports it opens."""

from __future__ import annotations

import json
import socket
import stat
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from local import model_server, processes
from local.ray_workspace import temp_dir
from serve.deployment_options import MAX_ONGOING
from serve.engine.run_call import infer
from shared.call_token import TOKEN_HEADER, sign
from shared.errors import Overloaded
from shared.limits import MAX_BODY_BYTES
from shared.messages import InferCall, Tensor
from shared.protocol import decode_error, decode_output, encode_call
from tests.serve_live.conftest import Answer, Server
from tests.serve_live.tree import descendants, open_paths, pss_bytes

pytestmark = pytest.mark.ray

LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
MAX_SHARED_BYTES = 1.3 * 2**30  # of Ray, the proxy and the application at /v2
MAX_REPLICA_BYTES = 0.35 * 2**30
ROUNDS = 20


def _call(rows: list[list[int]], model: str = "small", **fields: Any) -> InferCall:
    flat = [i for row in rows for i in row]
    return InferCall(model, "topic", Tensor.ints(flat), Tensor.ints(map(len, rows)), **fields)


def test_server_and_models_are_ready(server: Server) -> None:
    """Server and models say that they are live and ready, and what they are."""
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/small/ready", "/v2/models/narrow/versions/1/ready"):
        assert server.ask("GET", path).status == 200
    assert server.ask("GET", "/v2").json["name"] == "glossa"
    assert {entry["state"] for entry in server.ask("POST", "/v2/repository/index").json} == {"READY"}
    told = server.ask("GET", "/v2/models/small").json
    assert (told["name"], told["limits"]["max_row_tokens"]) == ("small", 512)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v2/health/ready", 200), ("/v2/models/small/ready", 200), ("/v2", 401), ("/v2/models/small", 401),
     ("/v2/models/small/stats", 401), ("/v2/models/none", 401)],
)  # fmt: skip
def test_a_stranger_learns_whether_it_is_ready_and_no_more(server: Server, path: str, status: int) -> None:
    """Without a token only health is answered, behind the proxy too."""
    reply = server.pool.request("GET", server.url + path, timeout=30.0)
    assert reply.status == status
    assert status == 200 or json.loads(reply.data)["code"] == "unauthenticated"


def test_an_unsigned_call_computes_nothing(server: Server) -> None:
    """A call without a token, or with the token of another body, is refused."""
    body = encode_call(_call([[0, 7, 2]]))
    token = sign(server.keys.keys(), "POST", "/v2/models/small/infer", b"another body")
    for headers in ({}, {TOKEN_HEADER: token}):
        reply = server.pool.request(
            "POST", server.url + "/v2/models/small/infer", body=bytes(body.data), headers={**body.headers, **headers},
            timeout=30.0,
        )  # fmt: skip
        assert reply.status == 401


def test_answers_are_the_engine_s(server: Server) -> None:
    """A packed call over HTTP gets the same tensors as from the engine in this process."""
    asked = _call([[0, 7, 2], [0, 9, 11, 2], [0, *range(3, 400), 2]], timeout_s=20.0)
    answer = server.infer(asked)
    outputs = decode_output(answer.headers, answer.body)
    expected = infer(server.engine, asked)
    assert answer.status == 200
    assert list(outputs.outputs["logits"].float_values()) == pytest.approx(
        list(expected.outputs["logits"].float_values()), abs=1e-4
    )
    assert set(outputs.timings_s) == {"queue", "infer"}


def test_padded_json_is_answered(server: Server) -> None:
    """The common form works too: padded ids in plain JSON."""
    tensors = {"input_ids": [[0, 7, 2], [0, 2, 1]], "attention_mask": [[1, 1, 1], [1, 1, 0]]}
    inputs = [{"name": n, "datatype": "INT64", "shape": [2, 3], "data": data} for n, data in tensors.items()]
    answer = server.ask("POST", "/v2/models/small/infer", json.dumps({"id": "x", "inputs": inputs}).encode())
    assert (answer.status, answer.json["id"], answer.json["outputs"][0]["shape"]) == (200, "x", [2, 5])


def test_every_answer_carries_the_request_id_once(server: Server) -> None:
    """The caller's id comes back unchanged, on answers and errors. Without one, a new id is made."""
    for path in ("/v2/models/small", "/v2/models/none", "/v2/health/live"):
        assert server.ask("GET", path, headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
        assert server.ask("GET", path).headers["x-request-id"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v2/models/none/infer", b"{}", 404),
        ("/v2/models/small/versions/9/infer", b"{}", 404),
        ("/v2/models/small/nothing", b"{}", 404),
        ("/v2/models/small/infer", b"{", 400),
        ("/v2/models/small/infer", b"", 400),
        ("/v2/models/small/infer", b" " * (MAX_BODY_BYTES + 1), 413),
        ("/v2/models/small/infer", b" " * 10_000_000, 413),
    ],
)
def test_bad_input_is_refused_and_the_server_answers_on(server: Server, path: str, body: bytes, status: int) -> None:
    """Unknown names, broken and oversized bodies get a 4xx in the v2 shape. The next call is answered."""
    answer = server.ask("POST", path, body)
    assert answer.status == status
    assert answer.json["error"]
    assert server.infer(_call([[0, 2]])).status == 200


def test_a_call_without_time_is_refused(server: Server) -> None:
    """A call that has no time gets our 504, or the 408 of Ray's own timer."""
    assert server.infer(_call([[0, 2]]), {"x-request-timeout-seconds": "0.0005"}).status in {408, 504}
    assert server.infer(_call([[0, 2]])).status == 200


def test_back_pressure_under_64_concurrent_calls(server: Server) -> None:
    """A model admits little more than one call. Of 64 at once, most are refused with Retry-After, and none fails."""

    def send(_: int) -> Answer:
        return server.infer(_call([[0] * 500], "narrow", timeout_s=20.0))

    answers: list[Answer] = []
    with ThreadPoolExecutor(64) as callers:
        for _ in range(ROUNDS):
            answers += callers.map(send, range(64))
            if {answer.status for answer in answers} == {200, 429}:
                break
    assert {answer.status for answer in answers} == {200, 429}
    for answer in answers:
        if answer.status == 429:
            assert int(answer.headers["retry-after"]) >= 1
            assert isinstance(decode_error(answer.status, answer.body), Overloaded)
    assert server.infer(_call([[0] * 500], "narrow")).status == 200


def test_requests_that_never_end_keep_nobody_out(server: Server) -> None:
    """With more half-sent bodies than a replica takes, a good call is answered. A half-sent header gets a 408."""
    head = b"POST /v2/models/small/infer HTTP/1.1\r\nHost: x\r\n"
    url = urlsplit(server.url)
    address = (url.hostname, url.port)
    with ExitStack() as stack:
        halves = [
            stack.enter_context(closing(socket.create_connection(address, 10.0))) for _ in range(MAX_ONGOING + 10)
        ]
        for half in halves:
            half.sendall(head + b"Content-Length: 1000\r\n\r\n{")
        unfinished = stack.enter_context(closing(socket.create_connection(address, 60.0)))
        unfinished.sendall(head)
        assert server.infer(_call([[0, 5, 2]])).status == 200
        assert unfinished.recv(1000).startswith(b"HTTP/1.1 408")


def test_statistics_count_what_was_done(server: Server) -> None:
    """Statistics come from the replica that answered."""
    server.infer(_call([[0, 2]]))
    stats = server.ask("GET", "/v2/models/small/stats").json["model_stats"][0]
    assert stats["inference_stats"]["success"]["count"] >= 1
    assert stats["glossa"]["backlog_tokens"] == 0
    assert stats["glossa"]["tokens_per_s"] > 0


def test_starting_again_finds_the_same_server(server: Server) -> None:
    """A second start finds the running server and waits for it."""
    pid = server.pid
    assert model_server.start(server.workspace, server.path) == server.url
    assert server.pid == pid
    assert model_server.is_up(server.workspace)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_all_of_it_listens_on_loopback_alone(server: Server) -> None:
    """No process of Ray or Serve opens a port beyond this machine, workers and proxies included."""
    open_ports = {(address, port) for pid in descendants(server.pid) for address, port in processes.listeners(pid)}
    assert len(open_ports) > 5
    assert {(address, port) for address, port in open_ports if address not in LOOPBACK} == set()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_no_other_user_reaches_its_files(server: Server) -> None:
    """Whatever its processes have open below the shared folder for temporary files is in a folder closed to others."""
    opened = {path for pid in descendants(server.pid) for path in open_paths(pid)}
    shared = Path(tempfile.gettempdir())
    below = {path.relative_to(shared).parts[0] for path in opened if path.is_relative_to(shared)}
    ours = temp_dir(server.workspace)
    assert ours.name in below
    open_to_others = {name for name in below if (shared / name).exists() and (shared / name).stat().st_mode & 0o077}
    assert open_to_others == set()
    assert len([path for path in opened if path.is_relative_to(ours) and path.is_socket()]) >= 3
    assert stat.S_IMODE((ours / "r").stat().st_mode) == 0o777, "Ray opens its own folder, as we expect"
    orders = [path for path in (ours / "h").rglob("a") if path.is_socket()]
    assert [stat.S_IMODE(path.stat().st_mode) for path in orders] == [0o600] * len(orders)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_memory_at_rest(server: Server) -> None:
    """Ray, the proxy and the application at /v2 take less than 1.3 GiB, and each small replica less than 0.35 GiB."""
    assert pss_bytes(descendants(server.pid)) < MAX_SHARED_BYTES + MAX_REPLICA_BYTES * len(server.catalog.models)
