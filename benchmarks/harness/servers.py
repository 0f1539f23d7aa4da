"""Starts the servers that are compared, on 127.0.0.1, and ends each with all processes it started.

Ours runs as users start it: `local.model_server`, which is Ray Serve behind HAProxy. The others run in environments of
their own. Each gets one request first, to see that it answers. Must not know load.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks import ROOT
from benchmarks.harness.side_by_side import SYSTEMS, SystemFailed
from benchmarks.inputs.catalogs import HEAD, MODEL, write_catalog
from benchmarks.load.generator import ANSWER_S, HOST, http_request
from local import model_server
from local.ports import ports
from local.processes import listeners
from local.ray_workspace import end_leftovers, environment, fresh_temp, temp_dir
from local.workspace import Workspace
from shared.messages import InferCall, Tensor
from shared.protocol import decode_output, encode_call
from tests.serve_live.tree import descendants

Kind = Literal["ours", "litserve", "ray", "infinity"]
START_S, STOP_S, POLL_S = 300.0, 20.0, 0.5
MAX_FAULTS = 10  # a server that answers 500 so often will not recover
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
OK = 200


@dataclass(frozen=True, slots=True)
class Server:
    """A server to measure: how it is started, and whether requests carry token `ids` or `texts`.

    A `slow` server gets only single texts from at most 64 connections, and runs in the first round only.
    """

    name: str
    kind: Kind
    variant: str = ""
    environment: str = ".venv"
    sent: Literal["ids", "texts"] = "ids"
    slow: bool = False

    @property
    def python(self) -> Path:
        """The Python interpreter of its environment."""
        return ROOT / self.environment / "bin" / "python"

    @property
    def is_there(self) -> bool:
        """Whether its environment is installed."""
        return self.python.exists()


@dataclass(frozen=True, slots=True)
class RequestInput:
    """The rows of one request, as token ids and as the texts they come from."""

    rows: tuple[tuple[int, ...], ...]
    texts: tuple[str, ...]

    @property
    def n_tokens(self) -> int:
        """The tokens of all rows."""
        return sum(map(len, self.rows))


def request_of(server: Server, request_input: RequestInput, port: int) -> bytes:
    """Return the HTTP request that sends an input to a server, in the form that this server reads."""
    if server.kind == "ours":
        flat = [token for row in request_input.rows for token in row]
        body = encode_call(InferCall(MODEL, HEAD, Tensor.ints(flat), Tensor.ints(map(len, request_input.rows))))
        return http_request(f"/v2/models/{MODEL}/infer", body.headers, body.data, port)
    paths = {"litserve": "/predict", "ray": "/", "infinity": "/classify"}
    payload: dict[str, Any] = {"rows": request_input.rows}
    if server.sent == "texts":
        payload = {"model": MODEL, "input": request_input.texts, "raw_scores": False}
    data = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    return http_request(paths[server.kind], {"content-type": "application/json"}, data, port)


@contextmanager
def running_server(server: Server, checkpoint: Path) -> Iterator[int]:
    """Start a server with a checkpoint, yield its port once it answers, and end it afterwards.

    Raises SystemFailed when it does not answer, answers wrongly, or listens on an address that is not loopback.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        workspace = Workspace(ROOT, Path(home))
        start = _running_ours if server.kind == "ours" else _running_peer
        with start(server, checkpoint, workspace) as (port, pid):
            _check_loopback(server, pid)
            yield port


@contextmanager
def _running_ours(server: Server, checkpoint: Path, workspace: Workspace) -> Iterator[tuple[int, int]]:
    catalog = write_catalog(workspace.home / "catalog.toml", checkpoint, precision=server.variant or "bfloat16")
    try:
        try:
            # prepared requests are sent many times, so their tokens would expire
            model_server.start(workspace, catalog, call_auth="none")
        except (RuntimeError, OSError) as error:
            raise SystemFailed(f"{server.name}: {str(error)[-300:]}") from None
        port = ports(workspace).serve
        check_answer(server, port)
        yield port, int(json.loads((workspace.run / f"{model_server.NAME}.pid").read_text())["pid"])
    finally:
        model_server.stop(workspace)
        shutil.rmtree(temp_dir(workspace), ignore_errors=True)


@contextmanager
def _running_peer(server: Server, checkpoint: Path, workspace: Workspace) -> Iterator[tuple[int, int]]:
    port = ports(workspace).serve
    command, settings = _peer_command(server, checkpoint.resolve(), port, workspace)
    with (workspace.log / "peer.log").open("wb") as log:
        process = subprocess.Popen(
            [str(word) for word in command], env=settings, cwd=workspace.home, stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        _wait(server, process, port, workspace.log / "peer.log")
        yield port, process.pid
    finally:
        _end(process)
        if server.kind == "ray":
            end_leftovers(workspace, STOP_S)
            shutil.rmtree(temp_dir(workspace), ignore_errors=True)


def _peer_command(
    server: Server, checkpoint: Path, port: int, workspace: Workspace
) -> tuple[list[str | Path], Mapping[str, str]]:
    settings = {**os.environ, "HF_HUB_OFFLINE": "1"}
    settings |= {"DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0", "PYTHONPATH": ""}
    if server.kind == "infinity":
        return [
            server.python.parent / "infinity_emb", "v2", "--model-id", checkpoint, "--served-model-name", MODEL,
            "--engine", "torch", "--device", "cpu", "--dtype", server.variant, "--host", HOST, "--port", str(port),
            "--batch-size", "32", "--log-level", "error",
        ], settings  # fmt: skip
    script = SYSTEMS / ("serve_ray_batch.py" if server.kind == "ray" else "serve_litserve.py")
    command: list[str | Path] = [
        server.python, script, "--checkpoint", checkpoint, "--variant", server.variant, "--port", str(port),
    ]  # fmt: skip
    if server.kind == "ray":
        command += ["--temp-dir", fresh_temp(workspace)]
        settings |= {**environment(workspace, "haproxy"), "PYTHONPATH": str(SYSTEMS)}
    return command, settings


def _wait(server: Server, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until a peer answers. Raises SystemFailed when it ends, fails too often, or takes over `START_S`."""
    ends_s = time.monotonic() + START_S
    failure, n_faults = "it never listened", 0
    while time.monotonic() < ends_s and process.poll() is None and n_faults < MAX_FAULTS:
        try:
            check_answer(server, port)
        except SystemFailed as failed:
            failure = str(failed)
            n_faults += "HTTP Error 500" in failure
            time.sleep(POLL_S)
        else:
            return
    said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    raise SystemFailed(f"{server.name}: {failure}; the last line of its log: {' '.join(said)[:300]}")


def check_answer(server: Server, port: int) -> None:
    """Send two texts. Raises SystemFailed for anything but two answers.

    A server may still work on requests of a load whose client has gone. It answers in order, so this waits for them.
    """
    request_input = RequestInput(((0, 5, 6, 2), (0, 7, 2)), ("one text", "another"))
    head, _, data = request_of(server, request_input, port).partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    http_call = urllib.request.Request(f"http://{HOST}:{port}{first.split()[1]}", data, headers)
    try:
        with urllib.request.urlopen(http_call, timeout=ANSWER_S) as answer:  # noqa: S310 - the address is loopback
            said, about = answer.read(), dict(answer.headers.items())
    except (OSError, urllib.error.URLError) as error:
        raise SystemFailed(f"{server.name}: {error}") from None
    if server.kind == "ours":
        n_answers = decode_output(about, said).outputs["logits"].shape[0]
    else:
        found = json.loads(said)
        n_answers = len(found.get("data") or found["answers"])
    if n_answers != len(request_input.rows):
        raise SystemFailed(f"{server.name}: got {n_answers} answers to {len(request_input.rows)} texts")


def _check_loopback(server: Server, pid: int) -> None:
    """Raise SystemFailed when a process of the server listens on an address that is not loopback."""
    found: set[tuple[str, int]] = set()
    for member in descendants(pid):
        try:
            found |= listeners(member)
        except OSError:
            continue  # it has ended
    if outside := sorted(port for address, port in found if address not in LOOPBACK):
        raise SystemFailed(f"{server.name}: listens on addresses that are not loopback, on ports {outside}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a peer and all it started. It leads a process group of its own."""
    for number, patience_s in ((signal.SIGTERM, STOP_S), (signal.SIGKILL, STOP_S)):
        try:
            if number == signal.SIGTERM:
                process.send_signal(number)
            else:
                os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            continue
