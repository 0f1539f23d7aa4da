"""A TCP proxy on loopback between the functions and the model server. It can delay, cut and corrupt what comes back.

It runs on a thread of its own, and counts the calls that pass. Must not know what the calls ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from benchmarks.chaos.scenarios import Network

HOST = "127.0.0.1"
CHUNK_BYTES = 65_536
CALL = b"POST /v2/models/"  # how each call begins; a connection holds one call at a time
BODY = b"\r\n\r\n"
SPOILED_BYTES = 24
READY_S = 5.0
LOST_S = 0.05


@dataclass
class Reply:
    """Spoils one reply, chunk by chunk, as a network says."""

    network: Network
    n_bytes: int = 0
    _head: bytearray = field(default_factory=bytearray)
    _left: int = SPOILED_BYTES

    def pass_on(self, chunk: bytes) -> tuple[bytes, bool]:
        """Return what becomes of a chunk, and whether the connection ends after it."""
        cut = self.network.cut_bytes
        if cut is not None:
            kept = chunk[: max(0, cut - self.n_bytes)]
            self.n_bytes += len(chunk)
            return kept, self.n_bytes >= cut
        if self.network.corrupt == "head":
            return self._flipped(chunk, 0), False
        if self.network.corrupt == "json":
            return self._in_body(chunk), False
        return chunk, False

    def _in_body(self, chunk: bytes) -> bytes:
        """Spoil the first bytes of the body, in whichever chunk they come."""
        found = self._head.find(BODY)
        if found < 0:
            known = len(self._head)
            self._head += chunk
            found = self._head.find(BODY)
            return chunk if found < 0 else self._flipped(chunk, max(0, found + len(BODY) - known))
        return self._flipped(chunk, 0)

    def _flipped(self, chunk: bytes, first: int) -> bytes:
        last = min(len(chunk), first + self._left)
        self._left -= max(0, last - first)
        return chunk[:first] + bytes(byte ^ 0xFF for byte in chunk[first:last]) + chunk[last:]


class NetworkProxy:
    """Listens on `port` (0: any) and passes all to `target`, both on 127.0.0.1. `network` and `target` may change."""

    def __init__(self, target: int, port: int = 0) -> None:
        self.network = Network()
        self.n_calls = 0
        self.target, self._asked_port, self.port = target, port, 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def start(self) -> None:
        """Start to listen. Raises OSError when the port is taken."""
        self._thread.start()
        self._run(self._listen())

    def stop(self) -> None:
        """End all connections."""
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(READY_S)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, HOST, self._asked_port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a callback of a server always runs as a task
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # one side is gone, so is the other
        except asyncio.CancelledError:
            pass  # the proxy ends; asyncio would report it as an error of the callback
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream_reader, upstream = await asyncio.open_connection(HOST, self.target)
        except OSError:
            writer.transport.abort()  # as a port at which nobody listens: the caller gets a reset
            return
        replies: list[Reply] = []
        pumps = [
            asyncio.create_task(self._requests(reader, upstream, replies)),
            asyncio.create_task(self._replies(upstream_reader, writer, replies)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            upstream.close()

    async def _requests(
        self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter, replies: list[Reply]
    ) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if chunk.startswith(CALL):
                self.n_calls += 1
                is_hit = self.n_calls % self.network.every == 0
                replies[:] = [Reply(self.network if is_hit else Network(delay_s=self.network.delay_s))]
            while self.network.silent:  # noqa: ASYNC110 - bytes that are lost come later, as TCP sends them again
                await asyncio.sleep(LOST_S)
            upstream.write(chunk)
            await upstream.drain()

    async def _replies(
        self, upstream_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, replies: list[Reply]
    ) -> None:
        while chunk := await upstream_reader.read(CHUNK_BYTES):
            reply = replies[0] if replies else Reply(Network())
            if reply.network.delay_s:
                await asyncio.sleep(reply.network.delay_s)
            passed, ends = reply.pass_on(chunk)
            writer.write(passed)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            if ends:
                return
