"""The unmodified template on the emulator: one request through the API, one document through S3."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from functions.jobs.records.part_files import decode
from functions.jobs.state.webhooks import sign
from functions.replica.fake import SentRequest
from functions.replica.transport import Reply
from glossa.client.jobs_client import JobsClient
from local import processes, stack
from local.client import ApiError
from local.workspace import ROOT
from shared.catalog import load_catalog
from tests.loopback import serving
from tests.stack.conftest import Standing

pytestmark = pytest.mark.stack
TEXTS = (
    "Le médecin a trouvé un médicament.",
    "The team won the final.",
    "Daktari amepata dawa mpya.",
    "医生找到了新药。",
)
WAIT_S = 60.0
ENDED = {"SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED"}


def test_a_request_travels_through_the_api(standing: Standing) -> None:
    """A sentence sent to the API comes back with the labels of its head, probabilities and stage timings."""
    answer = standing.api.post("/v1/text-classification", {"inputs": list(TEXTS), "model": "mini:topic"})
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
def test_bad_requests_are_answered_in_problem_details(standing: Standing, path: str, body: Any, status: int) -> None:
    """Whatever the path, a refusal comes from our code, with a status, a code and a sentence."""
    with pytest.raises(ApiError) as refused:
        standing.api.post(path, body)
    assert refused.value.status == status
    assert {"type", "detail", "code", "status"} <= set(refused.value.problem)


def test_bytes_that_are_no_text_are_refused_not_replaced(standing: Standing) -> None:
    """Invalid UTF-8 reaches our code as it was sent, and is a 400 that names the byte."""
    url = standing.api.base_url.rstrip("/") + "/v1/text-classification"
    headers = {"content-type": "application/json"}
    reply = standing.api.pool.request("POST", url, body=b'{"inputs": "a \xff"}', headers=headers, timeout=WAIT_S)
    assert (reply.status, reply.json()["code"]) == (400, "bad-request")
    assert "got byte 0xff at 14" in reply.json()["detail"]


def test_a_document_in_the_inbox_becomes_a_manifest(standing: Standing) -> None:
    """An object with an awkward key goes S3, EventBridge, plan, work, finalize; its manifest counts every line."""
    recipe = {"name": "topics", "task": "text-classification", "model": "mini:topic", "format": {"text": "lines"}}
    standing.api.post("/v1/recipes", recipe)
    text = "\n".join(TEXTS * 5)
    key = "t/local/inbox/topics/a b+ü%.txt"
    standing.client("s3").put_object(Bucket=standing.stack.input_bucket, Key=key, Body=text.encode())
    manifest = _manifest(standing)
    assert manifest["state"] == "SUCCEEDED"
    assert manifest["counts"]["succeeded"] == len(TEXTS) * 5


def test_an_uploaded_job_is_started_followed_and_read(standing: Standing) -> None:
    """Create, upload through a presigned POST, start, wait, read manifest and rows through presigned links."""
    api, rows = standing.api, "".join(json.dumps({"id": str(n), "text": text}) + "\n" for n, text in enumerate(TEXTS))
    job = api.post("/v1/jobs", {"task": "text-classification", "model": "mini:topic", "files": ["in put.jsonl"]}).body
    api.upload(job["uploads"][0], "in put.jsonl", rows.encode())
    api.post(job["start"])
    ends_at = time.monotonic() + WAIT_S
    while (state := api.get(f"/v1/jobs/{job['job']}").body["state"]) not in ENDED and time.monotonic() < ends_at:
        time.sleep(0.1)
    assert state == "SUCCEEDED"
    results = api.get(f"/v1/jobs/{job['job']}/results").body
    assert json.loads(api.fetch(results["manifest"]["url"]))["counts"]["records"] == len(TEXTS)
    answers = [json.loads(line) for part in results["parts"] for line in api.fetch(part["url"]).splitlines()]
    assert [answer["id"] for answer in answers] == [str(n) for n in range(len(TEXTS))]


def test_the_command_line_runs_a_job_and_its_webhook_is_called(standing: Standing, tmp_path: Path) -> None:
    """A table goes up in a streamed form and comes back in order; the end travels bus, queue, function, signed POST."""
    (tmp_path / "in.csv").write_text("id,text\n" + "".join(f'{n},"{text}"\n' for n, text in enumerate(TEXTS)), "utf-8")
    client, seen = JobsClient(standing.api.base_url), []

    def receive(sent: SentRequest) -> Reply:
        seen.append(sent)
        return Reply(204)

    with serving(receive) as (address, _):
        hook = {"url": f"{address}/ended", "secret": "a-secret-of-the-tests"}
        body = {
            "task": "text-classification",
            "model": "mini:topic",
            "output": "csv",
            "files": ["in.csv"],
            "webhook": hook,
        }
        job = client.submit(body, {"in.csv": tmp_path / "in.csv"})["job"]
        ends_at = time.monotonic() + WAIT_S
        while not seen and time.monotonic() < ends_at:
            time.sleep(0.1)
    detail = json.loads(seen[0].data)
    assert (detail["job"], detail["state"], detail["counts"]["succeeded"]) == (job, "SUCCEEDED", len(TEXTS))
    date = seen[0].headers["glossa-signature"].partition(",")[0].removeprefix("t=")
    assert seen[0].headers["glossa-signature"] == sign(hook["secret"], seen[0].data, int(date))
    parts = list(client.items(f"/v1/jobs/{job}/results", "parts"))
    rows = [row for part in parts for row in decode(client.download(part), "csv")]
    assert [row["id"] for row in rows] == [str(n) for n in range(len(TEXTS))]


def test_a_stopped_stack_comes_back_with_what_it_kept(standing: Standing) -> None:
    """After a stop and a start nothing is deployed again: recipes are there, and the API answers."""
    standing.api.post("/v1/recipes", {"name": "kept", "task": "text-classification"})
    assert stack.down(standing.workspace)
    assert stack.running_stack(standing.workspace) is None
    assert stack.up(standing.workspace, standing.stack.replica_url) == standing.stack
    names = [recipe["name"] for recipe in standing.api.get("/v1/recipes").body["recipes"]]
    assert "kept" in names
    assert standing.api.post("/v1/text-classification", {"inputs": TEXTS[0]}).body["results"]


def _manifest(standing: Standing) -> Any:
    s3, ends_at = standing.client("s3"), time.monotonic() + WAIT_S
    while time.monotonic() < ends_at:
        listed = s3.list_objects_v2(Bucket=standing.stack.output_bucket, Prefix="t/local/jobs/").get("Contents", [])
        for found in listed:
            if found["Key"].endswith("/manifest.json"):
                return json.loads(s3.get_object(Bucket=standing.stack.output_bucket, Key=found["Key"])["Body"].read())
        time.sleep(0.1)
    pytest.fail(f"no manifest after {WAIT_S} s; objects: {[found['Key'] for found in listed]}")


def test_only_loopback_listens(standing: Standing) -> None:
    """The emulator opens one port, on 127.0.0.1."""
    pid = processes.alive(standing.workspace, "emulator")
    assert pid is not None
    port = int(standing.stack.endpoint_url.rsplit(":", 1)[1])
    assert processes.listeners(pid) == {("127.0.0.1", port)}
