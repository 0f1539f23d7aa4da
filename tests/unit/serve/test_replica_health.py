"""When a replica is healthy without a probe, and when it is not healthy although it answers."""

from __future__ import annotations

import asyncio

import pytest

from serve.replica import Replica, Timeouts
from serve.scheduling.health import HealthTimes
from shared.catalog import Model
from shared.messages import InferCall, Tensor
from shared.protocol import Body, encode_call
from tests.unit.serve.engine.engines import LIMIT_S, GatedEngine

STUCK_S = 0.2
FOREVER_S = 1e6


def _times(**health_s: float) -> Timeouts:
    return Timeouts(health=HealthTimes(**health_s))


async def _ask(replica: Replica, *ids: int) -> Body:
    body = encode_call(InferCall("toy", "topic", Tensor.ints(ids), Tensor.ints([len(ids)])))
    return await replica.infer(dict(body.headers), bytes(body.data))


def test_a_recent_answer_counts_as_health(model: Model) -> None:
    """Under load no probe is needed: a pass that just succeeded is enough, even while the next one takes long."""
    engine = GatedEngine(model)
    replica = Replica(model, lambda: engine, timeouts=_times(check_s=0.01, fresh_s=FOREVER_S))

    async def test() -> None:
        await _ask(replica, 1)
        engine.shut()
        slow = asyncio.create_task(_ask(replica, 2))
        await asyncio.to_thread(engine.entered.wait, LIMIT_S)
        await replica.check_health()
        engine.gate.set()
        await slow
        await replica.drain()

    asyncio.run(test())


def test_a_pass_that_does_not_end_is_no_health(model: Model) -> None:
    """It is none even when the last answer is fresh: another parallel pass may have given that."""
    engine = GatedEngine(model)
    replica = Replica(model, lambda: engine, timeouts=_times(fresh_s=FOREVER_S, stuck_s=STUCK_S))

    async def test() -> None:
        await _ask(replica, 1)
        await replica.check_health()
        engine.shut()
        slow = asyncio.create_task(_ask(replica, 2))
        await asyncio.to_thread(engine.entered.wait, LIMIT_S)
        await asyncio.sleep(2 * STUCK_S)
        with pytest.raises(TimeoutError, match="a forward pass runs for over"):
            await replica.check_health()
        engine.gate.set()
        await slow
        await replica.drain()

    asyncio.run(test())


def test_a_long_pass_is_no_stall(model: Model) -> None:
    """While a pass of rows runs, a check whose probe waits behind it passes. Checks share that one probe."""
    engine = GatedEngine(model)
    replica = Replica(model, lambda: engine, timeouts=_times(check_s=0.01, probe_s=0.02, fresh_s=-1.0))

    async def test() -> None:
        engine.shut()
        slow = asyncio.create_task(_ask(replica, 2))
        await asyncio.to_thread(engine.entered.wait, LIMIT_S)
        n_passes = len(engine.passes)
        await asyncio.gather(*(replica.check_health() for _ in range(5)))
        await replica.check_health()
        engine.gate.set()
        await slow
        await replica.check_health()
        assert len(engine.passes) - n_passes <= 3  # that of the rows, and a probe for each side of the gate
        await replica.drain()

    asyncio.run(test())


def test_a_probe_that_takes_longer_than_a_check_is_awaited_by_the_next(model: Model) -> None:
    """A large model needs seconds for one token: its checks pass while the probe has time, and after it has ended."""
    engine = GatedEngine(model)
    replica = Replica(model, lambda: engine, timeouts=_times(check_s=0.01, probe_s=LIMIT_S, fresh_s=-1.0))

    async def test() -> None:
        engine.shut()
        n_passes = len(engine.passes)
        await replica.check_health()
        await replica.check_health()
        engine.gate.set()
        await replica.check_health()
        assert len(engine.passes) - n_passes == 1
        await replica.drain()

    asyncio.run(test())
