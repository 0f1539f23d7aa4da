"""A real Ray Serve on loopback: the protocol, the bounds, and what it opens on the machine."""

from __future__ import annotations

import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any
from urllib.parse import urlsplit

import pytest

from local import model_server, processes
from serve.deployment_options import MAX_ONGOING
from serve.engine.run_call import infer
from shared.errors import Overloaded
from shared.limits import MAX_BODY_BYTES
from shared.messages import InferCall, Tensor
from shared.protocol import decode_error, decode_output
from tests.serve_live.conftest import Answer, Standing
from tests.serve_live.tree import descendants, pss_bytes

pytestmark = pytest.mark.ray

LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
MAX_BESIDE_BYTES = 1.3 * 2**30  # of Ray, proxy and front
MAX_REPLICA_BYTES = 0.35 * 2**30
ROUNDS = 20


def _call(rows: list[list[int]], model: str = "small", **fields: Any) -> InferCall:
    flat = [i for row in rows for i in row]
    return InferCall(model, "topic", Tensor.ints(flat), Tensor.ints(map(len, rows)), **fields)


def test_server_and_models_are_ready(standing: Standing) -> None:
    """Server and model say that they live, are ready and what they are."""
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/small/ready", "/v2/models/narrow/versions/1/ready"):
        assert standing.ask("GET", path).status == 200
    assert standing.ask("GET", "/v2").json["name"] == "glossa"
    assert {entry["state"] for entry in standing.ask("POST", "/v2/repository/index").json} == {"READY"}
    told = standing.ask("GET", "/v2/models/small").json
    assert (told["name"], told["limits"]["max_row_tokens"]) == ("small", 512)


def test_answers_are_the_engine_s(standing: Standing) -> None:
    """A packed call over HTTP is answered with the tensors the engine gives in this process."""
    asked = _call([[0, 7, 2], [0, 9, 11, 2], [0, *range(3, 400), 2]], timeout_s=20.0)
    answer = standing.infer(asked)
    outputs = decode_output(answer.headers, answer.body)
    expected = infer(standing.engine, asked)
    assert answer.status == 200
    assert list(outputs.outputs["logits"].float_values()) == pytest.approx(
        list(expected.outputs["logits"].float_values()), abs=1e-4
    )
    assert set(outputs.timings_s) == {"queue", "infer"}


def test_padded_json_is_answered(standing: Standing) -> None:
    """Everyone's form works too: padded, plain JSON."""
    tensors = {"input_ids": [[0, 7, 2], [0, 2, 1]], "attention_mask": [[1, 1, 1], [1, 1, 0]]}
    inputs = [{"name": n, "datatype": "INT64", "shape": [2, 3], "data": data} for n, data in tensors.items()]
    answer = standing.ask("POST", "/v2/models/small/infer", json.dumps({"id": "x", "inputs": inputs}).encode())
    assert (answer.status, answer.json["id"], answer.json["outputs"][0]["shape"]) == (200, "x", [2, 5])


def test_every_answer_carries_the_request_id_once(standing: Standing) -> None:
    """The caller's id comes back as it was, on answers and on errors; without one, a new id is made."""
    for path in ("/v2/models/small", "/v2/models/none", "/v2/health/live"):
        assert standing.ask("GET", path, headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
        assert standing.ask("GET", path).headers["x-request-id"]


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
def test_bad_input_is_refused_and_the_server_answers_on(
    standing: Standing, path: str, body: bytes, status: int
) -> None:
    """Unknown names, broken and oversized bodies are 4xx in the v2 shape."""
    answer = standing.ask("POST", path, body)
    assert answer.status == status
    assert answer.json["error"]
    assert standing.infer(_call([[0, 2]])).status == 200


def test_time_over_is_said(standing: Standing) -> None:
    """A call that has no time is not answered as if it had: 504 of ours, or 408 of Ray's own timer."""
    assert standing.infer(_call([[0, 2]]), {"x-request-timeout-seconds": "0.0005"}).status in {408, 504}
    assert standing.infer(_call([[0, 2]])).status == 200


def test_back_pressure_under_64_concurrent_calls(standing: Standing) -> None:
    """With a backlog of little more than one call, most of 64 at once are refused with Retry-After, none fails."""

    def send(_: int) -> Answer:
        return standing.infer(_call([[0] * 500], "narrow", timeout_s=20.0))

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
    assert standing.infer(_call([[0] * 500], "narrow")).status == 200


def test_requests_that_never_end_keep_nobody_out(standing: Standing) -> None:
    """While more bodies than a replica takes requests are left half sent, a good call is answered; a head is let go."""
    head = b"POST /v2/models/small/infer HTTP/1.1\r\nHost: x\r\n"
    url = urlsplit(standing.url)
    address = (url.hostname, url.port)
    with ExitStack() as stack:
        halves = [
            stack.enter_context(closing(socket.create_connection(address, 10.0))) for _ in range(MAX_ONGOING + 10)
        ]
        for half in halves:
            half.sendall(head + b"Content-Length: 1000\r\n\r\n{")
        unfinished = stack.enter_context(closing(socket.create_connection(address, 60.0)))
        unfinished.sendall(head)
        assert standing.infer(_call([[0, 5, 2]])).status == 200
        assert unfinished.recv(1000).startswith(b"HTTP/1.1 408")


def test_statistics_count_what_was_done(standing: Standing) -> None:
    """Statistics come from the replica that answered."""
    standing.infer(_call([[0, 2]]))
    stats = standing.ask("GET", "/v2/models/small/stats").json["model_stats"][0]
    assert stats["inference_stats"]["success"]["count"] >= 1
    assert stats["glossa"]["backlog_tokens"] == 0
    assert stats["glossa"]["tokens_per_s"] > 0


def test_starting_again_finds_the_same_server(standing: Standing) -> None:
    """A second start waits for the one that runs."""
    pid = standing.pid
    assert model_server.start(standing.workspace, standing.path) == standing.url
    assert standing.pid == pid
    assert model_server.is_up(standing.workspace)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_all_of_it_listens_on_loopback_alone(standing: Standing) -> None:
    """No process of Ray or Serve, workers and proxies included, opens a port beyond this machine."""
    open_ports = {(address, port) for pid in descendants(standing.pid) for address, port in processes.listeners(pid)}
    assert len(open_ports) > 5
    assert {(address, port) for address, port in open_ports if address not in LOOPBACK} == set()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_at_rest(standing: Standing) -> None:
    """Ray, proxy and front and small replicas stay below 1.3 GiB and 0.35 GiB for each replica."""
    assert pss_bytes(descendants(standing.pid)) < MAX_BESIDE_BYTES + MAX_REPLICA_BYTES * len(standing.catalog.models)
