"""A stack in two processes: functions in this one, and a model server in one that may be killed at any moment.

The functions are the true ones, each with a client of the model server of its own, as Lambda runs them. The model
server has the true routes, and computes with ids. Between them is the network of `make chaos`. There is neither AWS nor
Ray. Must not know what callers ask.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

from benchmarks.chaos.calls import Usage
from benchmarks.chaos.network import NetworkProxy
from benchmarks.chaos.scenarios import Network, Step
from functions.http.authentication import OPEN
from functions.http.resolver import Resolver
from functions.http.text_routes import make_api
from functions.replica.client import ReplicaClient
from local.workspace import ROOT
from tests.events import FakeContext, request
from tests.unit.functions.http.world import pipeline

N_FUNCTIONS = 8
FUNCTION_S = 6.0  # that a function has for a request
RESTART_S = 1.0  # until a model server that was killed starts again, as Ray starts a replica
SERVER = """
import os, time
from tests.loopback import serving
from tests.unit.functions.http.model_server import respond
from tests.unit.functions.http.world import catalog
catalog()  # takes seconds, which its first call should not wait for
with serving(respond) as (address, _):
    print(address.rsplit(":", 1)[1], flush=True)
    while os.getppid() > 1:
        time.sleep(1)
"""


class SmallStack:
    """Answers at `url` while `running`."""

    def __init__(self) -> None:
        self.url = ""
        self._network = NetworkProxy(0)
        self._server: subprocess.Popen[str] | None = None

    @contextmanager
    def running(self) -> Iterator[SmallStack]:
        """Start everything, and end it."""
        self._network.start()
        self._start_server()
        address = f"http://127.0.0.1:{self._network.port}"
        functions: Queue[Resolver] = Queue()
        for _ in range(N_FUNCTIONS):
            functions.put(make_api(pipeline(), ReplicaClient(address), OPEN))
        api = ThreadingHTTPServer(("127.0.0.1", 0), _handler(functions))
        api.daemon_threads, api.block_on_close = True, False
        thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{api.server_address[1]}"
        try:
            yield self
        finally:
            api.shutdown()
            api.server_close()
            self._end_server()
            self._network.stop()

    def make_ready(self, n_replicas: int) -> None:
        """Heal everything. There is one replica."""
        assert n_replicas == 1
        self.heal()

    def do(self, step: Step) -> str:
        """Kill the model server and start another one, or stop it, or let it go on."""
        assert self._server is not None
        if step.action == "kill":
            self._end_server()
            time.sleep(RESTART_S)
            self._start_server()
        elif step.action == "network":
            self._network.network = step.network or Network()
        else:
            os.kill(self._server.pid, {"pause": signal.SIGSTOP, "resume": signal.SIGCONT}[step.action])
        return f"{step.action} the model server"

    def heal(self) -> None:
        """Let the model server go on, and the network be as it should."""
        self._network.network = Network()
        if self._server is not None:
            os.kill(self._server.pid, signal.SIGCONT)

    def n_calls(self) -> int:
        """Return how many calls have reached the model server so far."""
        return self._network.n_calls

    def usage(self, at_s: float) -> Iterable[Usage]:
        """Return nothing: memory is not looked at."""
        return ()

    def _start_server(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._server.stdout is not None
        self._network.target = int(self._server.stdout.readline())

    def _end_server(self) -> None:
        if self._server is not None:
            self._server.kill()
            self._server.communicate()


def _handler(functions: Queue[Resolver]) -> type[BaseHTTPRequestHandler]:
    """Return a handler that gives each request to a function that is free, as Lambda does."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            function = functions.get()
            try:
                made = function.resolve(request("POST", self.path, body.decode()), _context())
            finally:
                functions.put(function)
            data = made["body"].encode() if isinstance(made["body"], str) else json.dumps(made["body"]).encode()
            self.send_response(made["statusCode"])
            for name, values in made["multiValueHeaders"].items():
                for value in values:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler


def _context() -> FakeContext:
    return FakeContext(remaining_ms=int(FUNCTION_S * 1000))
