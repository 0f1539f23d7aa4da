"""Metrics in the logs of the deployed functions: each alarm of ours watches something that is really emitted."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from functions.replica.fake import SentRequest
from functions.replica.transport import Reply
from glossa.client import Client, JobSpec, Webhook
from local import deploy
from local.client import LocalApiError
from shared.metrics import FRONT, METRICS, NAMESPACE, REPLICA
from tests.embedded_metrics import Published, json_lines, published
from tests.loopback import serving
from tests.stack.conftest import RunningStack
from tests.stack.function_logs import everything_logged
from tests.unit.infra.alarms import Used, alarms, metrics_of

pytestmark = pytest.mark.stack
WAIT_S = 60.0
# tests/unit/infra/test_canary.py, tests/serve_live/test_metrics.py and tests/unit/shared/test_metrics.py see these. The
# authorizer is not deployed here, because the local stack takes everyone.
ELSEWHERE = {"canary", REPLICA, FRONT, "authorize"}
# Nothing here is put off or stands still. tests/unit/shared/test_metrics.py sees what these events carry.
RARE = {"message_retries", "sweeper_actions"}


@pytest.fixture(scope="module")
def emitted(running: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> set[Published]:
    """Send a request, a bad one, a job with a webhook and a message that nobody can read; return all metrics so far."""
    running.api.post("/v1/text-classification", {"inputs": "The team won.", "model": "mini:topic"})
    with pytest.raises(LocalApiError):
        running.api.post("/v1/no-such-task", {"inputs": "x"})
    _run_a_job(running, tmp_path_factory.mktemp("job"))
    _invoke(running, "Sweep")
    _fail_a_message(running)
    wanted = {name for name, metric in METRICS.items() if not ELSEWHERE & set(metric.emitters)} - RARE
    ends_s = time.monotonic() + WAIT_S
    found: set[Published] = set()
    while not wanted <= {each.name for each in found} and time.monotonic() < ends_s:
        found = set(published(json_lines(everything_logged(running))))
        time.sleep(0.2)
    return found


def test_every_metric_of_the_functions_is_emitted(emitted: set[Published]) -> None:
    """Each metric of the registry that functions emit comes out of the deployed functions, with all its dimensions."""
    found = {(each.name, tuple(key for key, _ in each.dimensions)) for each in emitted}
    wanted = {
        (name, tuple(sorted(dimensions)))
        for name, metric in METRICS.items()
        if not ELSEWHERE & set(metric.emitters) and name not in RARE
        for dimensions in metric.dimension_sets
    }
    assert wanted - found == set()
    assert {each.namespace for each in emitted} == {NAMESPACE}
    assert {each.name for each in emitted} <= set(METRICS)


def test_each_alarm_of_ours_watches_what_was_emitted(emitted: set[Published]) -> None:
    """An alarm has the namespace, name and dimensions of a metric in the logs, with the name of the stack."""
    watched = _watched()
    assert len(watched) > 5
    assert [used for used in watched if not _is_among(used, emitted)] == []


def test_an_alarm_that_watches_something_else_is_found(emitted: set[Published]) -> None:
    """Another name, another dimension or another value of one is not among what was emitted."""
    stack = ("stack", "${ServiceStackName}")
    for wrong in (
        Used(NAMESPACE, "counter_drifts", (stack,)),
        Used(NAMESPACE, "counter_drift", (("function", "sweep"), stack)),
        Used(NAMESPACE, "request_faults", (("function", "inference"), stack)),
        Used("glossa", "counter_drift", (stack,)),
    ):
        assert not _is_among(wrong, emitted)
    assert _is_among(Used(NAMESPACE, "counter_drift", (stack,)), emitted)


def _watched() -> list[Used]:
    """Return the metrics of ours that alarms watch and that functions emit."""
    used = [each for alarm in alarms().values() for each in metrics_of(alarm) if each.namespace == NAMESPACE]
    return [each for each in used if not ELSEWHERE & set(METRICS[each.name].emitters)]


def _is_among(used: Used, emitted: set[Published]) -> bool:
    dimensions = tuple((name, value.replace("${ServiceStackName}", deploy.STACK)) for name, value in used.dimensions)
    return any(
        (each.namespace, each.name, each.dimensions) == (used.namespace, used.name, dimensions) for each in emitted
    )


def _run_a_job(running: RunningStack, folder: Path) -> None:
    (folder / "in.txt").write_text("The team won.\nThe train was late.\n", encoding="utf-8")
    seen: list[SentRequest] = []

    def receive(sent: SentRequest) -> Reply:
        seen.append(sent)
        return Reply(204)

    with serving(receive) as (address, _):
        hook = Webhook(url=f"{address}/ended", secret="a-secret-of-the-tests")
        spec = JobSpec("text-classification", [folder / "in.txt"], model="mini:topic", webhook=hook)
        Client(running.api.base_url).jobs.submit(spec)
        ends_s = time.monotonic() + WAIT_S
        while not seen and time.monotonic() < ends_s:
            time.sleep(0.1)
    assert seen


def _invoke(running: RunningStack, name: str) -> None:
    client = running.client("lambda")
    (function,) = [
        f["FunctionName"] for f in client.list_functions()["Functions"] if f"-{name}Function-" in f["FunctionName"]
    ]
    answer = client.invoke(FunctionName=function, Payload=b"{}")
    assert "FunctionError" not in answer


def _fail_a_message(running: RunningStack) -> None:
    """Put a message into the queue of finalize that names no job. It fails, and is taken out again afterwards."""
    sqs = running.client("sqs")
    described = running.client("cloudformation").describe_stacks(StackName=deploy.STACK)["Stacks"][0]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in described["Outputs"]}
    for queue in ("Finalize", "Notify", "Plan", "Work"):
        url = sqs.get_queue_url(QueueName=outputs[f"{queue}QueueName"])["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"of": "nobody"}))
