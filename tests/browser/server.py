"""Serves the API on two ports, for the browser tests. Prints their addresses as one line of JSON.

    python -m tests.browser.server [--catalog FILE]

`api` has its buckets on its own address, as the local stack has. `far` has them on another, as AWS has. With
`--catalog`, the models of that file answer; else fake ones. It ends when its standard input does. Must not know pages.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from functions.http.resolver import Resolver
from tests.browser.apis import Apis, make
from tests.browser.buckets import PLACE
from tests.events import request


def open_port() -> tuple[ThreadingHTTPServer, str]:
    """Open a free port; return the server and its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.daemon_threads = True
    return server, f"http://127.0.0.1:{server.server_address[1]}"


def serve(apis: Apis, *servers: ThreadingHTTPServer) -> None:
    """Answer what comes to these servers, and do the work of jobs."""
    for server in servers:
        server.RequestHandlerClass = _handler(apis)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Thread(target=apis.work_for_ever, daemon=True).start()


def _handler(apis: Apis) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            split, body = urlsplit(self.path), self.rfile.read(int(self.headers.get("content-length") or 0))
            path = unquote(split.path)
            if path.startswith(PLACE):
                self.bucket(path, body)
                return
            query = parse_qs(split.query, keep_blank_values=True)
            headers = dict(self.headers.items())
            event = request(
                self.command, path, body.decode() or None, headers=headers,
                multiValueHeaders={name: [value] for name, value in headers.items()},
                queryStringParameters={name: values[-1] for name, values in query.items()},
                multiValueQueryStringParameters=query,
            )  # fmt: skip
            made = apis.resolve(event)
            data = made["body"] or ""
            sent = base64.b64decode(data) if made.get("isBase64Encoded") else data.encode()
            self.send(
                made["statusCode"], sent, {n: v for n, values in made["multiValueHeaders"].items() for v in values}
            )

        def bucket(self, path: str, body: bytes) -> None:
            if self.command == "POST":
                self.send(apis.buckets.post(path, self.headers.get("content-type", ""), body), b"", {})
            else:
                self.send(200, apis.buckets.get(path), {"Content-Type": "binary/octet-stream"})

        def send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if value is not None:
                    self.send_header(name, value)
            if status not in (204, 304):
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: Any) -> None:
            """Say nothing: the functions log."""

    return Handler


def _served(catalog: Path, folder: Path) -> Resolver:
    """Return the API over the models of a catalog. Its folder is copied, as tokenizer files go beside it."""
    from tests.served import serve_catalog  # noqa: PLC0415 - loads torch, which fake models do not need

    shutil.copy(catalog, folder)
    shutil.copytree(catalog.parent / "checkpoints", folder / "checkpoints")
    _, api = serve_catalog(folder / catalog.name, page_stores=())
    return api


def main() -> None:
    """Serve until the standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalog", type=Path, help="file of models that answer in place of the fake ones")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        texts = _served(chosen.catalog.resolve(), Path(folder)) if chosen.catalog else None
        (near, api), (other, far), (buckets, address) = open_port(), open_port(), open_port()
        serve(make(api, texts), near)
        serve(make(address, texts), other, buckets)
        sys.stdout.write(json.dumps({"api": api, "far": far}) + "\n")
        sys.stdout.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the log of the functions: nobody reads it
        sys.stdin.read()


if __name__ == "__main__":
    main()
