"""Doors of the simulator: the memory ones, with a stop before each effect and a witness after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from functions.jobs.state.keys import Key
from functions.jobs.state.queue_messages import QueueMessage
from functions.jobs.state.transactions import Check, Write
from functions.jobs.storage.aws import Doors
from tests.simulator.tasks import Point, effect


class Witness(Protocol):
    """Is told what happened, right after it did."""

    def read_job(self) -> None:
        """Note that the current task has read a job."""
        ...

    def wrote(self, writes: Sequence[Write]) -> None:
        """Judge the table after a transaction."""
        ...

    def put(self, key: str, *, new: bool) -> None:
        """Judge an output object."""
        ...


def watched(doors: Doors, witness: Witness) -> Doors:
    """Let a witness see the effects as they are carried out, below all faults and mutations."""
    return replace(doors, store=_Watched(doors.store, witness), objects=_WatchedObjects(doors.objects, witness))  # type: ignore[arg-type] # the same methods


def stopping(doors: Doors) -> Doors:
    """Let each effect wait for the simulator."""
    return replace(
        doors,
        store=_Stopping(doors.store),
        objects=_StoppingObjects(doors.objects),
        queue=_StoppingQueue(doors.queue),
        bus=_StoppingBus(doors.bus),
    )  # type: ignore[arg-type] # the same methods


class Through:
    """Passes on what a subclass does not define."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        """Pass on."""
        return getattr(self.real, name)


class _Watched(Through):
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


class _WatchedObjects(Through):
    def __init__(self, real: Any, witness: Witness) -> None:
        super().__init__(real)
        self._witness = witness

    def put_new(self, bucket: str, key: str, data: bytes, **facts: Any) -> bool:
        new = bool(self.real.put_new(bucket, key, data, **facts))
        self._witness.put(key, new=new)
        return new


def _stop(kind: str, what: str, do: Callable[[], Any]) -> Any:
    return effect(Point(kind, what), do)


class _Stopping(Through):
    def get(self, key: Key) -> Any:
        return _stop("read", f"get {key.sk}", lambda: self.real.get(key))

    def query(self, pk: str, **how: Any) -> Any:
        return _stop("read", f"query {how.get('prefix', '')}", lambda: self.real.query(pk, **how))

    def due(self, partition: str, until: str, limit: int) -> Any:
        return self.real.due(partition, until, limit)  # sixteen a sweep, most of them empty

    def write(self, *writes: Write) -> None:
        what = " + ".join(dict.fromkeys(_said(write) for write in writes if not isinstance(write, Check)))
        _stop("write", what, lambda: self.real.write(*writes))


class _StoppingObjects(Through):
    def read(self, bucket: str, key: str, **how: Any) -> Iterator[bytes]:
        found: Iterator[bytes] = _stop("read", f"read {_short(key)}", lambda: self.real.read(bucket, key, **how))
        return found

    def head(self, bucket: str, key: str, version: str = "") -> Any:
        return _stop("read", f"head {_short(key)}", lambda: self.real.head(bucket, key, version))

    def put_new(self, bucket: str, key: str, data: bytes, **facts: Any) -> Any:
        return _stop("write", f"put {_short(key)}", lambda: self.real.put_new(bucket, key, data, **facts))

    def erase(self, bucket: str, prefix: str) -> Any:
        return _stop("write", "erase objects", lambda: self.real.erase(bucket, prefix))


class _StoppingQueue(Through):
    def send(self, messages: Sequence[QueueMessage], *, delay_s: int = 0) -> None:
        for message in messages:  # a process may die between two of them
            what = f"send {message.step} {message.shard[:8]}"
            _stop("send", what, lambda message=message: self.real.send([message], delay_s=delay_s))

    def discard(self, step: Any, is_dead: Callable[[str], bool]) -> Any:
        return _stop("send", f"discard {step}", lambda: self.real.discard(step, is_dead))

    def hand_back(self, step: Any, receipt: str, delay_s: int) -> None:
        _stop("send", f"hand back {step}", lambda: self.real.hand_back(step, receipt, delay_s))


class _StoppingBus(Through):
    def put(self, kind: str, detail: Mapping[str, object]) -> None:
        _stop("send", "announce", lambda: self.real.put(kind, detail))


def _said(write: Write) -> str:
    fields: Mapping[str, object] = getattr(write, "set", {}) or getattr(write, "item", {})
    state = f" {fields['state']}" if "state" in fields else ""
    return f"{type(write).__name__.lower()} {write.key.sk[:14]}{state}"


def _short(key: str) -> str:
    return key.split("/", 4)[-1][-40:]
