"""The effects of the simulator: stores in memory that stop before each effect, and a witness that sees it after."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from functions.jobs.state.keys import Key
from functions.jobs.state.queue_messages import QueueMessage
from functions.jobs.state.transactions import Check, Write
from tests.simulator.tasks import Point, effect
from tests.unit.functions.jobs.wiring import Effects


class Witness(Protocol):
    """Is told of each effect right after it happened."""

    def read_job(self) -> None:
        """Note that the current task has read a job."""
        ...

    def wrote(self, writes: Sequence[Write]) -> None:
        """Judge the table after a transaction."""
        ...

    def put(self, key: str, *, new: bool) -> None:
        """Judge an output object."""
        ...


def witnessed(effects: Effects, witness: Witness) -> Effects:
    """Let a witness see the effects as the stores carry them out, after all faults and planted bugs."""
    table: Any = _WitnessedTable(effects.table, witness)
    objects: Any = _WitnessedObjects(effects.objects, witness)
    return replace(effects, table=table, objects=objects)


def stopping(effects: Effects) -> Effects:
    """Let each effect wait for the simulator."""
    table: Any = _StoppingTable(effects.table)
    objects: Any = _StoppingObjects(effects.objects)
    queue: Any = _StoppingQueue(effects.queue)
    event_bus: Any = _StoppingBus(effects.event_bus)
    webhooks = replace(effects.webhooks, table=_StoppingTable(effects.webhooks.table))  # type: ignore[arg-type] # passes all on
    return replace(effects, table=table, objects=objects, queue=queue, event_bus=event_bus, webhooks=webhooks)


class Wrapper:
    """Passes every method that a subclass does not define on to `real`."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        """Pass on."""
        return getattr(self.real, name)


class _WitnessedTable(Wrapper):
    def __init__(self, real: Any, witness: Witness) -> None:
        super().__init__(real)
        self._witness = witness

    def get(self, key: Key) -> Any:
        found = self.real.get(key)
        if key.sk == "job":
            self._witness.read_job()
        return found

    def write(self, *writes: Write) -> None:
        self.real.write(*writes)
        self._witness.wrote(writes)


class _WitnessedObjects(Wrapper):
    def __init__(self, real: Any, witness: Witness) -> None:
        super().__init__(real)
        self._witness = witness

    def put_new(self, bucket: str, key: str, data: bytes, **facts: Any) -> bool:
        new = bool(self.real.put_new(bucket, key, data, **facts))
        self._witness.put(key, new=new)
        return new


def _stop(kind: str, what: str, do: Callable[[], Any]) -> Any:
    return effect(Point(kind, what), do)


class _StoppingTable(Wrapper):
    def get(self, key: Key) -> Any:
        return _stop("read", f"get {key.sk}", lambda: self.real.get(key))

    def query(self, pk: str, **how: Any) -> Any:
        return _stop("read", f"query {how.get('prefix', '')}", lambda: self.real.query(pk, **how))

    def due(self, partition: str, until: str, limit: int) -> Any:
        return self.real.due(partition, until, limit)  # a sweep makes sixteen such reads, and most find nothing

    def write(self, *writes: Write) -> None:
        what = " + ".join(dict.fromkeys(_description(write) for write in writes if not isinstance(write, Check)))
        _stop("write", what, lambda: self.real.write(*writes))


class _StoppingObjects(Wrapper):
    def read(self, bucket: str, key: str, **how: Any) -> Iterator[bytes]:
        found: Iterator[bytes] = _stop("read", f"read {_short(key)}", lambda: self.real.read(bucket, key, **how))
        return found

    def head(self, bucket: str, key: str, version: str = "") -> Any:
        return _stop("read", f"head {_short(key)}", lambda: self.real.head(bucket, key, version))

    def put_new(self, bucket: str, key: str, data: bytes, **facts: Any) -> Any:
        return _stop("write", f"put {_short(key)}", lambda: self.real.put_new(bucket, key, data, **facts))

    def erase(self, bucket: str, prefix: str) -> Any:
        return _stop("write", "erase objects", lambda: self.real.erase(bucket, prefix))


class _StoppingQueue(Wrapper):
    def send(self, messages: Sequence[QueueMessage], *, delay_s: int = 0) -> None:
        for message in messages:  # a process may die between two of them
            what = f"send {message.step} {message.shard[:8]}"
            _stop("send", what, lambda message=message: self.real.send([message], delay_s=delay_s))

    def discard(self, step: Any, is_dead: Callable[[str], bool]) -> Any:
        return _stop("send", f"discard {step}", lambda: self.real.discard(step, is_dead))

    def return_message(self, step: Any, receipt: str, delay_s: int) -> None:
        _stop("send", f"return {step}", lambda: self.real.return_message(step, receipt, delay_s))


class _StoppingBus(Wrapper):
    def put(self, kind: str, detail: Mapping[str, object]) -> None:
        _stop("send", "announce", lambda: self.real.put(kind, detail))


def _description(write: Write) -> str:
    fields: Mapping[str, object] = getattr(write, "set", {}) or getattr(write, "item", {})
    state = f" {fields['state']}" if "state" in fields else ""
    return f"{type(write).__name__.lower()} {write.key.sk[:14]}{state}"


def _short(key: str) -> str:
    return key.split("/", 4)[-1][-40:]
