"""`glossa status` says how each part is. Two small servers stand for the emulator and the model server."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from glossa.cli import main
from local import emulator, model_server, processes
from local.ports import ports
from local.workspace import ROOT, Workspace, write_json

# A server at a port that answers 200 at every path but those it is given, where it answers 503 with an error.
SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        loading = self.path in sys.argv[2:]
        data = b'{"error": "loading its weights"}' if loading else b""
        self.send_response(503 if loading else 200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """Return a workspace of this checkout; end what was started in it."""
    made = Workspace(ROOT, tmp_path)
    yield made
    for name in (emulator.NAME, model_server.NAME):
        processes.stop(made, name)


def start(workspace: Workspace, name: str, port: int, *loading: str) -> None:
    """Start a server in the place of a part."""
    processes.start(workspace, name, [sys.executable, "-c", SERVER, str(port), *loading], os.environ, workspace.home)


def shown(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    """Return the exit code and the JSON of the command."""
    code = main(["status", "--json", "--home", str(workspace.home)])
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return code, found


def test_nothing_runs(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """A workspace without a stack has two stopped parts, and people learn what to do."""
    code, found = shown(workspace, capsys)
    assert code == 1
    assert found["ready"] is False
    assert main(["status", "--home", str(workspace.home)]) == 1
    said = capsys.readouterr().out
    assert "model server   stopped" in said
    assert "`glossa up` starts what does not run" in said


def test_parts_and_models_are_ready_or_say_why_not(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is 0 when everything is ready. A model that loads says so."""
    write_json(workspace.run / model_server.LOADED, {"catalog": (ROOT / "catalog.toml").read_text(encoding="utf-8")})
    write_json(workspace.run / "stack.json", dict.fromkeys(
        ("api_url", "endpoint_url", "region", "input_bucket", "output_bucket", "table", "replica_url"), "http://here"
    ))  # fmt: skip
    start(workspace, emulator.NAME, ports(workspace).emulator)
    start(workspace, model_server.NAME, ports(workspace).serve)
    while (now := shown(workspace, capsys))[0]:  # until both servers listen
        assert all(processes.alive(workspace, name) for name in (emulator.NAME, model_server.NAME)), now
        time.sleep(0.05)
    assert now[1]["models"] == {"mini": "ready"}
    assert now[1]["api"] == "http://here"
    processes.stop(workspace, model_server.NAME)
    start(workspace, model_server.NAME, ports(workspace).serve, "/v2/models/mini/ready")
    while (now := shown(workspace, capsys))[1]["models"] != {"mini": "loading its weights"}:
        assert processes.alive(workspace, model_server.NAME), now
        time.sleep(0.05)
    assert now[0] == 1
    assert main(["status", "--home", str(workspace.home)]) == 1
    assert "model mini     loading its weights" in capsys.readouterr().out
