"""A unique text through the deployed stack: it is in no log of a function, no log on disk and no message of a queue."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from glossa.client import Client, JobSpec
from local.client import LocalApiError
from tests.leaks import CANARY, leaks
from tests.stack.conftest import RunningStack
from tests.stack.function_logs import everything_logged

pytestmark = pytest.mark.stack
WAIT_S = 60.0
ENDED = {"SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED"}


def test_no_text_gets_out_of_the_deployed_stack(running: RunningStack, tmp_path: Path) -> None:
    """A request, a refused request and a job hold the text. Logs of functions, logs on disk and queues do not."""
    answer = running.api.post("/v1/text-classification", {"inputs": CANARY, "model": "mini:topic"})
    assert answer.body["results"]
    with pytest.raises(LocalApiError):
        running.api.post("/v1/text-classification", {"inputs": CANARY, "parameters": {"top_k": CANARY}})
    (tmp_path / "in.jsonl").write_text(json.dumps({"id": CANARY, "text": CANARY}) + f"\nbroken {CANARY}\n", "utf-8")
    spec = JobSpec("text-classification", [tmp_path / "in.jsonl"], model="mini:topic")
    job = Client(running.api.base_url).jobs.submit(spec).id
    ends_s = time.monotonic() + WAIT_S
    while running.api.get(f"/v1/jobs/{job}").body["state"] not in ENDED and time.monotonic() < ends_s:
        time.sleep(0.2)
    logged = everything_logged(running)
    assert job in logged
    places = {"functions": logged} | _on_disk(running.workspace.log)
    assert leaks(places) == []
    (running.workspace.log / "planted.log").write_text(f"said {CANARY}\n", "utf-8")
    assert leaks(_on_disk(running.workspace.log)) == ["planted.log"]


def _on_disk(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text("utf-8", "replace") for path in folder.rglob("*") if path.is_file()}
