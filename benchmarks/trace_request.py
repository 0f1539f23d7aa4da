"""Prints the files in which a function runs while one text-classification request is answered.

    python -m benchmarks.trace_request [--json]

The real handler of the infer Lambda runs in this process. So does a replica with the real engine over
`checkpoints/mini`, behind HTTP on 127.0.0.1 and without Ray. Both are warm when the traced request comes. Files of
`functions` and `serve` are numbered in the order of their first call; those of `shared` are counted apart.
Must not know what the traced functions do.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from benchmarks import ROOT
from benchmarks.reporting.report import options, progress
from glossa.commands.artifacts import write_artifacts
from serve.engine.load_engine import load_engine
from serve.replica import Replica
from shared.call_keys import KeyFile, write_key_file
from shared.catalog import load_catalog
from tests.events import FakeContext, request

HOST = "127.0.0.1"
KEYS = "call-keys.json"
NUMBERED, APART = ("functions", "serve"), ("shared",)
WARM_TEXTS = ("The match ended in a draw.", "Die Wahl findet im Herbst statt.", "Le vaccin est prêt.")
TEXT = "The committee will meet again on Thursday to decide whether the bridge can be opened."  # not cached yet
START_S, POLL_S, OK = 60.0, 0.05, 200

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


class FileTrace:
    """Notes each file below some folders of `root` when a function of it is first called, in any thread.

    Sees threads that start after `watch_new_threads`, and the thread that calls `record`. Code that runs while a
    module is imported does not count.
    """

    def __init__(self, root: Path, folders: Sequence[str]) -> None:
        """Trace files of `folders`, which lie in `root`."""
        self.first_calls: dict[str, str] = {}  # file -> the first function that ran in it, in the order of the calls
        self._root = f"{root}{os.sep}"
        self._folders = tuple(f"{self._root}{folder}{os.sep}" for folder in folders)
        self._is_recording = False

    def watch_new_threads(self) -> None:
        """Make every thread that starts from now on report its calls."""
        threading.setprofile(self._on_event)

    @contextmanager
    def record(self) -> Iterator[None]:
        """Note the calls of this thread and of the watched ones."""
        self._is_recording = True
        sys.setprofile(self._on_event)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
            self._is_recording = False

    def _on_event(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if self._is_recording and event == "call" and code.co_filename.startswith(self._folders):
            name = code.co_filename.removeprefix(self._root)
            if name not in self.first_calls and code.co_name != "<module>":
                self.first_calls[name] = code.co_qualname


def main() -> int:
    """Trace one request and print its files."""
    parser = options(__doc__)
    chosen = parser.parse_args()
    trace = FileTrace(ROOT, (*NUMBERED, *APART))
    trace.watch_new_threads()
    with tempfile.TemporaryDirectory() as folder, serving_mini(new_keys(Path(folder))) as port:
        handler = load_handler(Path(folder), port)
        for text in WARM_TEXTS:
            ask(handler, text)
        with trace.record():
            answer = ask(handler, TEXT)
    progress(f"answered: {answer['body'][:200]}")
    print(json.dumps(trace.first_calls) if chosen.json else "\n".join(lines(trace.first_calls)))
    return 0


def new_keys(folder: Path) -> Path:
    """Write keys for both sides; return their file."""
    write_key_file(folder / KEYS)
    return folder / KEYS


@contextmanager
def serving_mini(keys: Path) -> Iterator[int]:
    """Serve mini from this process to callers with a key of `keys`; yield the port, once connections are taken."""
    model = load_catalog(ROOT / "catalog.toml").model("mini")
    replica = Replica(model, lambda: load_engine(model, ROOT, device="cpu"), verifier=lambda: KeyFile(keys).verify)
    app = Starlette(routes=[Mount(f"/v2/models/{model.name}", app=replica.__serve_build_asgi_app__())])
    server = uvicorn.Server(uvicorn.Config(app, host=HOST, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end_s = time.monotonic() + START_S
    while not server.started:
        if time.monotonic() > end_s or not thread.is_alive():
            raise RuntimeError(f"the model server has not started within {START_S:.0f} s")
        time.sleep(POLL_S)
    try:
        yield int(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(START_S)
        replica.runner.drain(START_S)


def load_handler(folder: Path, port: int) -> Handler:
    """Import the handler of the infer Lambda, as its runtime does, with the model server at `port`."""
    artifacts = folder / "artifacts"
    write_artifacts(load_catalog(ROOT / "catalog.toml"), ROOT, artifacts)
    os.environ |= {
        "GLOSSA_REPLICA_URL": f"http://{HOST}:{port}",
        "GLOSSA_AUTH": "none",
        "GLOSSA_CALL_KEYS_FILE": str(folder / KEYS),
        "GLOSSA_ARTIFACTS": str(artifacts),
    }
    from functions.lambdas.infer import handler  # noqa: PLC0415 - reads its settings when it is imported

    return handler


def ask(handler: Handler, text: str) -> dict[str, Any]:
    """Return the answer to one text. Raises RuntimeError when the status is not 200."""
    answer = handler(request("POST", "/v1/text-classification", json.dumps({"inputs": text})), FakeContext())
    if answer["statusCode"] != OK:
        raise RuntimeError(f"got status {answer['statusCode']}, expected {OK}: {answer['body'][:300]}")
    return answer


def lines(first_calls: dict[str, str]) -> Iterator[str]:
    """Yield a line for each file and one with the counts."""
    n_numbered = n_apart = 0
    for name, function in first_calls.items():
        if name.startswith(APART):
            n_apart += 1
            yield f"     {name:<52} {function}"
        else:
            n_numbered += 1
            yield f"{n_numbered:>3}  {name:<52} {function}"
    yield f"{n_numbered} files of {' and '.join(NUMBERED)}, {n_apart} of {' and '.join(APART)}"


if __name__ == "__main__":
    raise SystemExit(main())
