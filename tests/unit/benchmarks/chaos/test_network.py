"""The proxy passes everything on, counts calls, and spoils the replies that it should."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
import urllib3

from benchmarks.chaos.network import NetworkProxy, Reply
from benchmarks.chaos.scenarios import Network
from functions.replica.fake import SentRequest
from functions.replica.transport import Reply as Answer
from tests.loopback import serving

BODY = b'{"model_name": "mini", "outputs": [1, 2, 3]}' * 20
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
PATH = "/v2/models/mini/infer"
WAIT_S = 10.0


def _echo(_: SentRequest) -> Answer:
    return Answer(200, {}, BODY)


@contextmanager
def _proxy() -> Iterator[NetworkProxy]:
    with serving(_echo) as (address, _):
        proxy = NetworkProxy(int(address.rsplit(":", 1)[1]))
        proxy.start()
        try:
            yield proxy
        finally:
            proxy.stop()


def _post(pool: urllib3.PoolManager, proxy: NetworkProxy, timeout_s: float = WAIT_S) -> bytes:
    url = f"http://127.0.0.1:{proxy.port}{PATH}"
    return pool.request("POST", url, body=b"{}", retries=False, timeout=timeout_s).data


def test_everything_passes_and_calls_are_counted() -> None:
    """Three calls on one connection come back whole."""
    with _proxy() as proxy, urllib3.PoolManager() as pool:
        assert [_post(pool, proxy) for _ in range(3)] == [BODY] * 3
        assert proxy.n_calls == 3


def test_a_reply_is_cut_where_the_network_says_so() -> None:
    """The client sees a connection that ends too early; every second reply is whole."""
    with _proxy() as proxy, urllib3.PoolManager() as pool:
        proxy.network = Network(every=2, cut_bytes=400)
        assert _post(pool, proxy) == BODY
        with pytest.raises(urllib3.exceptions.HTTPError):
            _post(pool, proxy)
        assert _post(pool, proxy) == BODY


def test_a_silent_network_answers_nothing_until_it_is_healed() -> None:
    """The client runs out of time; later all is well."""
    with _proxy() as proxy, urllib3.PoolManager() as pool:
        proxy.network = Network(silent=True)
        with pytest.raises(urllib3.exceptions.TimeoutError):
            _post(pool, proxy, 0.2)
        proxy.network = Network()
        assert _post(pool, proxy) == BODY


def test_nobody_behind_the_proxy_is_as_nobody_there() -> None:
    """The connection ends at once."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        proxy = NetworkProxy(unused.getsockname()[1])
        proxy.start()
        try:
            with pytest.raises(urllib3.exceptions.HTTPError):
                _post(urllib3.PoolManager(), proxy)
        finally:
            proxy.stop()


@pytest.mark.parametrize("cuts", [[], [10], [30, 45], [len(HEAD)], [len(HEAD) + 2], list(range(1, 60))])
def test_the_body_is_spoiled_in_whatever_chunks_it_comes(cuts: list[int]) -> None:
    """The head stays, the first bytes of the body are wrong, and the rest stays."""
    data = HEAD + BODY
    places = [0, *cuts, len(data)]
    reply = Reply(Network(corrupt="json"))
    passed = b"".join(reply.pass_on(data[a:b])[0] for a, b in pairwise(places))
    assert passed[: len(HEAD)] == HEAD
    assert len(passed) == len(data)
    changed = [n for n in range(len(BODY)) if passed[len(HEAD) + n] != BODY[n]]
    assert changed == list(range(24))


def test_a_spoiled_head_is_no_http() -> None:
    """The first line is what is wrong."""
    passed, ends = Reply(Network(corrupt="head")).pass_on(HEAD)
    assert (passed[:5] != b"HTTP/", len(passed), ends) == (True, len(HEAD), False)


def test_a_cut_in_a_later_chunk_keeps_what_came_before() -> None:
    """The bytes of all chunks count together."""
    reply = Reply(Network(cut_bytes=7))
    assert reply.pass_on(b"12345") == (b"12345", False)
    assert reply.pass_on(b"67890") == (b"67", True)
