"""The unmodified template on the emulator: a request through the API, and documents and jobs through S3."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from functions.jobs.state.webhooks import sign
from functions.replica.fake import SentRequest
from functions.replica.transport import Reply
from glossa.client import Client, JobSpec, Webhook
from local import processes, stack
from local.client import LocalApiError
from local.workspace import ROOT
from shared.catalog import load_catalog
from tests.loopback import serving
from tests.stack.conftest import RunningStack

pytestmark = pytest.mark.stack
TEXTS = (
    "Le médecin a trouvé un médicament.",
    "The team won the final.",
    "Daktari amepata dawa mpya.",
    "医生找到了新药。",
)
WAIT_S = 60.0
ENDED = {"SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED"}


def test_a_request_is_answered_through_the_api(running: RunningStack) -> None:
    """Sentences sent to the API are answered with the labels of the head, probabilities and stage times."""
    answer = running.api.post("/v1/text-classification", {"inputs": list(TEXTS), "model": "mini:topic"})
    labels = set(load_catalog(ROOT / "catalog.toml").model("mini").heads["topic"].labels)
    assert len(answer.body["results"]) == len(TEXTS)
    for found in answer.body["results"]:
        assert {entry["label"] for entry in found} <= labels
        assert all(0 <= entry["score"] <= 1 for entry in found)
    assert {"tokenize", "route", "queue", "infer", "assemble"} <= set(answer.timings_ms)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/text-classification", {"inputs": []}, 422),
        ("/v1/no-such-task", {"inputs": "x"}, 404),
        ("/nowhere", {}, 404),
        ("/v1/jobs/0123456789abcdef0123456789abcdef/start", None, 404),
    ],
)
def test_bad_requests_are_answered_in_problem_details(running: RunningStack, path: str, body: Any, status: int) -> None:
    """On any path, an error comes from our code, with status, code and detail."""
    with pytest.raises(LocalApiError) as refused:
        running.api.post(path, body)
    assert refused.value.status == status
    assert {"type", "detail", "code", "status"} <= set(refused.value.problem)


def test_bytes_that_are_no_text_are_refused_not_replaced(running: RunningStack) -> None:
    """Invalid UTF-8 reaches our code as it was sent, and is a 400 that names the byte."""
    url = running.api.base_url.rstrip("/") + "/v1/text-classification"
    headers = {"content-type": "application/json"}
    reply = running.api.pool.request("POST", url, body=b'{"inputs": "a \xff"}', headers=headers, timeout=WAIT_S)
    assert (reply.status, reply.json()["code"]) == (400, "bad-request")
    assert "got byte 0xff at 14" in reply.json()["detail"]


def test_a_document_in_the_inbox_becomes_a_manifest(running: RunningStack) -> None:
    """An object with unusual characters in its key becomes a job. Its manifest counts every line."""
    recipe = {"name": "topics", "task": "text-classification", "model": "mini:topic", "format": {"text": "lines"}}
    running.api.post("/v1/recipes", recipe)
    text = "\n".join(TEXTS * 5)
    before = _manifests(running)  # of other tests on this stack
    key = "t/local/inbox/topics/a b+ü%.txt"
    running.client("s3").put_object(Bucket=running.stack.input_bucket, Key=key, Body=text.encode())
    manifest = _new_manifest(running, before)
    assert manifest["state"] == "SUCCEEDED"
    assert manifest["counts"]["succeeded"] == len(TEXTS) * 5


def test_an_uploaded_job_is_started_followed_and_read(running: RunningStack) -> None:
    """A job is created, uploaded by presigned POST, started, awaited, and read by presigned links."""
    api, rows = running.api, "".join(json.dumps({"id": str(n), "text": text}) + "\n" for n, text in enumerate(TEXTS))
    job = api.post("/v1/jobs", {"task": "text-classification", "model": "mini:topic", "files": ["in put.jsonl"]}).body
    api.upload(job["uploads"][0], "in put.jsonl", rows.encode())
    api.post(job["start"])
    deadline_s = time.monotonic() + WAIT_S
    while (state := api.get(f"/v1/jobs/{job['job']}").body["state"]) not in ENDED and time.monotonic() < deadline_s:
        time.sleep(0.1)
    assert state == "SUCCEEDED"
    results = api.get(f"/v1/jobs/{job['job']}/results").body
    assert json.loads(api.fetch(results["manifest"]["url"]))["counts"]["records"] == len(TEXTS)
    answers = [json.loads(line) for part in results["parts"] for line in api.fetch(part["url"]).splitlines()]
    assert [answer["id"] for answer in answers] == [str(n) for n in range(len(TEXTS))]


def test_the_command_line_runs_a_job_and_its_webhook_is_called(running: RunningStack, tmp_path: Path) -> None:
    """A CSV job returns its rows in order. At its end the webhook gets a signed POST."""
    (tmp_path / "in.csv").write_text("id,text\n" + "".join(f'{n},"{text}"\n' for n, text in enumerate(TEXTS)), "utf-8")
    client, seen = Client(running.api.base_url), []

    def receive(sent: SentRequest) -> Reply:
        seen.append(sent)
        return Reply(204)

    with serving(receive) as (address, _):
        hook = Webhook(url=f"{address}/ended", secret="a-secret-of-the-tests")
        spec = JobSpec("text-classification", [tmp_path / "in.csv"], model="mini:topic", output="csv", webhook=hook)
        job = client.jobs.submit(spec).id
        deadline_s = time.monotonic() + WAIT_S
        while not seen and time.monotonic() < deadline_s:
            time.sleep(0.1)
    detail = json.loads(seen[0].data)
    assert (detail["job"], detail["state"], detail["counts"]["succeeded"]) == (job, "SUCCEEDED", len(TEXTS))
    date = seen[0].headers["glossa-signature"].partition(",")[0].removeprefix("t=")
    assert seen[0].headers["glossa-signature"] == sign(hook.secret, seen[0].data, int(date))
    rows = client.jobs.get(job).results()
    assert [row.id for row in rows] == [str(n) for n in range(len(TEXTS))]


def test_a_stopped_stack_comes_back_with_what_it_kept(running: RunningStack) -> None:
    """After a stop and a start nothing is deployed again. Recipes are still there, and the API answers."""
    running.api.post("/v1/recipes", {"name": "kept", "task": "text-classification"})
    assert stack.down(running.workspace)
    assert stack.running_stack(running.workspace) is None
    assert stack.up(running.workspace, running.stack.replica_url) == running.stack
    names = [recipe["name"] for recipe in running.api.get("/v1/recipes").body["recipes"]]
    assert "kept" in names
    assert running.api.post("/v1/text-classification", {"inputs": TEXTS[0]}).body["results"]


def _manifests(running: RunningStack) -> set[str]:
    listed = running.client("s3").list_objects_v2(Bucket=running.stack.output_bucket, Prefix="t/local/jobs/")
    return {found["Key"] for found in listed.get("Contents", []) if found["Key"].endswith("/manifest.json")}


def _new_manifest(running: RunningStack, before: set[str]) -> Any:
    s3, deadline_s = running.client("s3"), time.monotonic() + WAIT_S
    while time.monotonic() < deadline_s:
        for key in _manifests(running) - before:
            return json.loads(s3.get_object(Bucket=running.stack.output_bucket, Key=key)["Body"].read())
        time.sleep(0.1)
    pytest.fail(f"no manifest after {WAIT_S} s beside {sorted(before)}")


def test_only_loopback_listens(running: RunningStack) -> None:
    """The emulator opens one port, on 127.0.0.1."""
    pid = processes.alive(running.workspace, "emulator")
    assert pid is not None
    port = int(running.stack.endpoint_url.rsplit(":", 1)[1])
    assert processes.listeners(pid) == {("127.0.0.1", port)}
