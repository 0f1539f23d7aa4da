"""The Runtime API of the benchmark works with a real runtime client, and vocabularies always get the same bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cold_start import Function, StartFigures, _start
from benchmarks.harness.runtime_api import fake_model_server, runtime_api
from benchmarks.inputs import vocabularies
from functions.replica.client import ReplicaClient
from shared.messages import InferCall, Tensor

FUNCTION = """
def handler(event, context):
    if event["n"] < 0:
        raise ValueError("below zero")
    return {"twice": 2 * event["n"]}
"""


def run(folder: Path, port: int, handler: str) -> subprocess.Popen[bytes]:
    """Start the runtime client of Lambda with a function."""
    environment = {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}", "LAMBDA_TASK_ROOT": str(folder), "PATH": ""}
    return subprocess.Popen(
        [sys.executable, "-m", "awslambdaric", handler],
        cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def test_events_go_out_and_answers_come_back(tmp_path: Path) -> None:
    """A function gets ready and answers each event. An exception is told apart from an answer."""
    (tmp_path / "double.py").write_text(FUNCTION)
    with runtime_api() as api:
        process = run(tmp_path, api.port, "double.handler")
        try:
            api.wait_ready(30)
            answers = [api.invoke({"n": n}) for n in (1, 2, -1)]
        finally:
            process.kill()
            process.wait(timeout=10)
    assert [json.loads(answer.body) for answer in answers[:2]] == [{"twice": 2}, {"twice": 4}]
    assert all(answer.seconds > 0 and not answer.error for answer in answers[:2])
    assert "below zero" in answers[2].error


def test_a_failed_init_is_reported(tmp_path: Path) -> None:
    """A function that cannot be imported ends the measurement with its own error text."""
    (tmp_path / "broken.py").write_text("import no_such_module")
    with runtime_api() as api:
        process = run(tmp_path, api.port, "broken.handler")
        try:
            with pytest.raises(RuntimeError, match="no_such_module"):
                api.wait_ready(30)
        finally:
            process.kill()
            process.wait(timeout=10)


def test_a_function_is_started_and_asked(tmp_path: Path) -> None:
    """One start gives an init time, a first invocation and a peak."""
    (tmp_path / "nothing.py").write_text("def handler(event, context):\n    return {}\n")
    seen = StartFigures()
    with fake_model_server(2) as replica:
        _start(Function("some", tmp_path, "nothing.handler", {}), tmp_path, replica, seen)
    assert len(seen.init_s) == len(seen.first_ms) == len(seen.peak_mib) == 1
    assert seen.init_s[0] > 0
    assert seen.peak_mib[0] > 1


def test_the_stand_in_answers_as_a_model_server() -> None:
    """The client of the functions finds it ready and reads one row of scores for each row."""
    call = InferCall("mini", "topic", Tensor.ints([0, 5, 2, 0, 2]), Tensor.ints([3, 2]), fingerprint="0" * 64)
    with fake_model_server(3) as replica:
        client = ReplicaClient(f"http://127.0.0.1:{replica.port}")
        try:
            assert client.ready()
            [inferred] = client.infer([call], 1e9)
        finally:
            client.close()
    assert inferred.outputs["logits"].shape == (2, 3)
    assert len(replica.seconds) == 1


def test_a_vocabulary_is_made_once(tmp_path: Path) -> None:
    """It has the right size, every piece once, and the mask last. A second call leaves it as it is."""
    path = vocabularies.make("32k", tmp_path)
    assert path.read_bytes() == vocabularies.SMALL.read_bytes()
    rules = json.loads(path.read_text("utf-8"))
    vocab = [tuple(entry) for entry in rules["model"]["vocab"][:-1]]
    words = vocabularies._words(vocab, 500)
    assert words == vocabularies._words(vocab, 500)
    pieces = [piece for piece, _ in [*vocab, *words]]
    assert len(set(pieces)) == len(pieces) == len(vocab) + 500
    stamp = path.stat().st_mtime_ns
    assert vocabularies.make("32k", tmp_path).stat().st_mtime_ns == stamp
