"""The deadline of a request reaches the queue of the replica: what nobody waits for any more is never computed."""

from __future__ import annotations

import asyncio
import time

import pytest
from starlette.types import ASGIApp

from functions.replica.client import ReplicaClient
from functions.replica.fake import FakeTransport, SentRequest
from functions.replica.transport import Reply
from serve.replica import Replica
from shared.errors import DeadlineExceeded
from tests.unit.serve.asgi import call
from tests.unit.serve.engine.engines import LIMIT_S, GatedEngine
from tests.unit.serve.replicas import PREFIX, packed, run_with_replica, toy_model


def test_work_past_the_deadline_of_the_api_is_never_computed() -> None:
    """The engine is busy until after the deadline. The caller gets 504, and the rows are dropped from the queue."""
    engine = GatedEngine(toy_model())

    async def test(replica: Replica, app: ASGIApp) -> None:
        loop = asyncio.get_running_loop()

        async def answer(sent: SentRequest) -> Reply:
            path = sent.path.removeprefix(PREFIX)
            reply = await call(app, sent.method, path, body=sent.data, headers=sent.headers, prefix=PREFIX)
            return Reply(reply.status, reply.headers, reply.body)

        def respond(sent: SentRequest) -> Reply:
            return asyncio.run_coroutine_threadsafe(answer(sent), loop).result(LIMIT_S)

        client = ReplicaClient("http://x", transport=FakeTransport(respond))
        engine.shut()
        first = asyncio.create_task(asyncio.to_thread(client.infer, [packed([[1]])], time.monotonic() + LIMIT_S))
        await asyncio.to_thread(engine.entered.wait, LIMIT_S)
        with pytest.raises(DeadlineExceeded):
            await asyncio.to_thread(client.infer, [packed([[77]])], time.monotonic() + 0.2)
        engine.gate.set()
        assert len(await first) == 1
        assert [77] not in [ids for rows in engine.passes for ids in rows]
        assert (replica.runner.counts.n_expired, replica.runner.backlog_tokens) == (1, 0)

    run_with_replica(toy_model(), test, lambda: engine)
