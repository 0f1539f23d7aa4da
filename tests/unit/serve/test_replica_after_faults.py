"""Cancelled calls, half bodies, bad ids and rows that overflow leave nothing behind: sound calls are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.types import ASGIApp

from serve.replica import Replica
from serve.rows.pack import Between
from serve.rows.row import Row, RowResult
from shared.catalog import Model
from shared.errors import NotFinite
from shared.protocol import encode_call
from tests.unit.serve.asgi import call
from tests.unit.serve.engine.engines import BAD, LIMIT_S, GatedEngine
from tests.unit.serve.replicas import PREFIX, packed, post, run_with_replica, send_call, until


class OverflowingEngine(GatedEngine):
    """Answers a row with BAD as an engine in float16 does whose numbers overflow."""

    def forward(self, rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
        """Answer as the engine below, except for such rows."""
        overflow = NotFinite("got numbers that are not finite, expected finite ones")
        found = super().forward(rows, between)
        return [overflow if BAD in row.input_ids else result for row, result in zip(rows, found, strict=True)]


def test_sound_calls_are_answered_after_faulty_ones(model: Model) -> None:
    """Of 200 cancelled calls, cut bodies, an unknown id and an overflow, nothing is left in the queue of a replica."""
    engine = OverflowingEngine(model)

    async def test(replica: Replica, app: ASGIApp) -> None:
        engine.shut()
        held = asyncio.create_task(send_call(app, packed([[1] * 9])))
        await asyncio.to_thread(engine.entered.wait, LIMIT_S)
        left = [asyncio.create_task(send_call(app, packed([[2 + i % 9] * 3]))) for i in range(200)]
        await asyncio.sleep(0)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        engine.gate.set()
        assert (await held).status == 200
        body = encode_call(packed([[1, 2, 3]]))
        half = body.data[: len(body.data) // 2]
        assert (await call(app, "POST", "/infer", body=half, headers=body.headers, prefix=PREFIX)).status == 400
        assert (await post(app, b'{"inputs": [{"name"')).status == 400
        assert (await send_call(app, packed([[model.vocab_size]]))).status == 422
        assert (await send_call(app, packed([[BAD, 1]]))).status == NotFinite.status
        replies = await asyncio.gather(*(send_call(app, packed([[1 + i % 9, 5]])) for i in range(50)))
        assert [reply.status for reply in replies] == [200] * 50
        await until(lambda: replica.runner.backlog_tokens == 0)

    run_with_replica(model, test, lambda: engine)
