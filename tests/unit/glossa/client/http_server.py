"""The whole API on a free port of this machine, for programs that open sockets: tasks, jobs, and links to storage."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2

from tests.unit.functions.http.world import make
from tests.unit.functions.jobs.world import World
from tests.unit.glossa.client.served import STAGE, JobsServer, answer_of
from tests.unit.glossa.client.worlds import Labels

STORAGE = "/storage/"
MEMORY = "memory://"
NOT_OURS = frozenset({"content-length", "connection"})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    jobs: JobsServer
    lock: threading.Lock
    address: str

    def answer(self) -> None:
        """Answer one request after the other."""
        data = self.rfile.read(int(self.headers.get("content-length") or 0))
        path = self.path
        url = MEMORY + path.removeprefix(STORAGE) if path.startswith(STORAGE) else f"http://api.example{path}"
        sent = httpx2.Request(self.command, url, headers=dict(self.headers.items()), content=data)
        with self.lock:
            is_job = path.startswith((STORAGE, f"{STAGE}/v1/jobs"))
            found = self.jobs(sent) if is_job else answer_of(make(), sent)
        body = found.content.replace(MEMORY.encode(), (self.address + STORAGE).encode())
        self.send_response(found.status_code)
        for name, value in found.headers.items():
            if name not in NOT_OURS:
                self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the names that http.server looks for

    def log_message(self, *_: Any) -> None:
        """Stay quiet."""


@contextmanager
def serving_api() -> Iterator[str]:
    """Serve the API; yield its address with the stage."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    address = f"http://127.0.0.1:{server.server_address[1]}"
    jobs = JobsServer(World(echo=Labels(), max_records=2))
    fields = {"jobs": jobs, "lock": threading.Lock(), "address": address}
    server.RequestHandlerClass = type("Handler", (_Handler,), fields)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield address + STAGE
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
