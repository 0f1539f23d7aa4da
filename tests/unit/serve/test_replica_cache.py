"""A replica with a response cache gives the same answers as one without, and runs no pass for rows that it knows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from serve.engine.fake import FakeEngine
from serve.replica import Replica
from serve.rows.pack import Between
from serve.rows.row import Row, RowResult
from shared.catalog import Model
from shared.errors import NotFinite
from shared.messages import InferCall, ModelOutput, Tensor
from shared.protocol import decode_output, encode_call

LIMIT_BYTES = 1 << 20
BROKEN = 13


class Breaking(FakeEngine):
    """A FakeEngine that cannot answer rows with the id BROKEN."""

    def forward(self, rows: Sequence[Row], between: Between | None = None) -> list[RowResult]:
        """Answer the other rows."""
        answers = super().forward(rows, between)
        return [
            NotFinite("got numbers that are not finite, expected finite ones") if BROKEN in row.input_ids else answer
            for row, answer in zip(rows, answers, strict=True)
        ]


def _call(rows: Sequence[Sequence[int]], tenant: str = "", **fields: Any) -> InferCall:
    flat = [i for row in rows for i in row]
    return InferCall("toy", "topic", Tensor.ints(flat), Tensor.ints(map(len, rows)), tenant_hash=tenant, **fields)


def _ask(model: Model, calls: Sequence[InferCall], cache_bytes: int) -> tuple[list[ModelOutput], dict[str, Any], int]:
    """Return the answers of calls made one after the other, the cache's statistics, and the number of rows computed."""
    kept = model.model_copy(update={"response_cache_bytes": cache_bytes})
    replica = Replica(kept, lambda: FakeEngine(kept))

    async def whole() -> list[ModelOutput]:
        answers = []
        for call in calls:
            body = encode_call(call)
            answer = await replica.infer(body.headers, body.data)
            answers.append(decode_output(answer.headers, answer.data))
        await replica.drain()
        return answers

    answers = asyncio.run(whole())
    statistics: Any = replica.statistics()
    whole_model = statistics["model_stats"][0]
    return answers, whole_model["glossa"]["response_cache"], whole_model["inference_count"]


def test_known_rows_run_no_pass(model: Model) -> None:
    """Rows seen before get their first answer again, among new rows, in the order of the call."""
    calls = [_call([[0, 5, 2], [7]]), _call([[9, 9], [7], [0, 5, 2], [4]]), _call([[7], [4]])]
    plain, _, n_all = _ask(model, calls, 0)
    kept, figures, n_computed = _ask(model, calls, LIMIT_BYTES)
    assert [answer.outputs for answer in kept] == [answer.outputs for answer in plain]
    assert (n_all, n_computed) == (8, 4)
    assert (figures["n_hits"], figures["n_misses"]) == (4, 4)
    assert 0 < figures["n_bytes"] <= LIMIT_BYTES


def test_a_tenant_learns_nothing_of_anothers_rows(model: Model) -> None:
    """What one tenant asked is computed again for the next tenant."""
    _, figures, n_computed = _ask(model, [_call([[7]], "a"), _call([[7]], "b"), _call([[7]], "a")], LIMIT_BYTES)
    assert (figures["n_hits"], n_computed) == (1, 2)


def test_off_means_that_nothing_is_looked_up(model: Model) -> None:
    """Without cache bytes in the catalog, no row is kept or counted."""
    _, figures, n_computed = _ask(model, [_call([[7]]), _call([[7]])], 0)
    assert (figures, n_computed) == ({"n_hits": 0, "n_misses": 0, "n_bytes": 0}, 2)


def test_an_error_names_the_row_of_the_whole_call(model: Model) -> None:
    """A row that fails behind known rows is named by its place in the call, and nothing of it is kept."""
    kept = model.model_copy(update={"response_cache_bytes": LIMIT_BYTES})
    replica = Replica(kept, lambda: Breaking(kept))

    async def whole() -> None:
        for rows in ([[7], [8]], [[7], [8], [BROKEN, 4]], [[7], [BROKEN, 4]]):
            body = encode_call(_call(rows))
            if [BROKEN, 4] not in rows:
                await replica.infer(body.headers, body.data)
                continue
            with pytest.raises(NotFinite, match=f"row {rows.index([BROKEN, 4])}:"):
                await replica.infer(body.headers, body.data)
        await replica.drain()

    asyncio.run(whole())
