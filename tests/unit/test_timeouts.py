"""Each wait ends before the wait around it does: from the API down to the queue of a replica.

The times come from template.yaml, the code of both sides and the templates of the model servers. One test compares them
as they are, one plants a fault into each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest

from functions.http.resolver import DEADLINE_MARGIN_S
from functions.jobs.state.leases import LEASE_MS
from functions.replica.client import GRACE_S, MAX_ATTEMPT_S
from serve import deployment_options, ingress
from serve.replica import Timeouts
from tests.unit.template import ROOT, properties, target, walk

INSTANCES, CLUSTER = ROOT / "infra/instances.yaml", ROOT / "infra/kubernetes/rayservice.yaml"


@dataclass(frozen=True)
class Ladder:
    """The times of all steps, in seconds."""

    api: float
    function: float
    client_margin: float
    call_margin: float
    replica_margin: float
    attempt: float
    replica_longest: float
    proxy: float
    batch_function: float
    lease: float
    replica_drain: float
    serve_drain: float
    balancer_drain: float
    stop_of_instance: float
    wait_of_pod: float
    stop_of_pod: float
    keep_alive_of_serve: float
    keep_alive_of_cluster: float
    keep_alive_of_ingress: float
    balancer_idle: float
    visibility_per_timeout: float


def faults(t: Ladder) -> list[str]:
    """Say which wait ends after the wait around it."""
    client = t.function - t.client_margin
    named = client - t.call_margin  # what x-request-timeout-seconds says
    rules = {
        "the API waits longer than the function runs": t.api > t.function,
        "the function has time to answer after its client gave up": client < t.function,
        "the client waits longer than the time that it names": named < client,
        "the replica gives up before the time that was named": t.replica_margin > 0,
        "a call of a batch gets no more than a replica gives": t.attempt <= t.replica_longest,
        "the proxy waits longer than any replica": t.proxy > t.replica_longest,
        "a batch function outlives one call": t.batch_function > t.attempt,
        "a lease outlives its function": t.lease > t.batch_function,
        "a replica drains as long as a function waits": t.replica_drain >= client,
        "Serve lets a replica drain": t.serve_drain > t.replica_drain,
        "the load balancer waits for Serve": t.balancer_drain > t.serve_drain,
        "an instance stops after Serve has": t.stop_of_instance > t.serve_drain,
        "a pod waits until Serve has drained it": t.wait_of_pod > t.serve_drain,
        "a pod is not killed while it waits": t.stop_of_pod > t.wait_of_pod,
        "Serve keeps connections longer than the load balancer": t.keep_alive_of_serve > t.balancer_idle,
        "Serve in the cluster keeps connections longer than the load balancer": t.keep_alive_of_cluster
        > t.balancer_idle,
        "HAProxy keeps connections longer than the load balancer": t.keep_alive_of_ingress > t.balancer_idle,
        "a message hides six times as long as its function runs": t.visibility_per_timeout == 6,
    }
    return [rule for rule, holds in rules.items() if not holds]


def _visibility_per_timeout() -> float:
    """Return the smallest ratio over all queues that call a function."""
    functions, queues = properties("AWS::Lambda::Function"), properties("AWS::SQS::Queue")
    return min(
        queues[target(source["EventSourceArn"])]["VisibilityTimeout"]
        / functions[target(source["FunctionName"])]["Timeout"]
        for source in properties("AWS::Lambda::EventSourceMapping").values()
    )


def _numbers(path: Path, pattern: str) -> list[float]:
    """Return all numbers that a pattern finds in a file."""
    return [float(found) for found in re.findall(pattern, path.read_text(encoding="utf-8"))]


def _number(path: Path, pattern: str) -> float:
    """Return the one number that a pattern finds in a file."""
    (found,) = _numbers(path, pattern)
    return found


def as_built() -> Ladder:
    """Read all times from where they are set."""
    (api,) = properties("AWS::ApiGateway::RestApi").values()
    nodes: list[Any] = list(walk(api["Body"]))
    functions = properties("AWS::Lambda::Function")
    timeouts = Timeouts()
    return Ladder(
        api=min(node["timeoutInMillis"] for node in nodes if isinstance(node, dict) and "timeoutInMillis" in node)
        / 1000,
        function=max(functions[name]["Timeout"] for name in ("InferFunction", "JobsFunction")),
        client_margin=DEADLINE_MARGIN_S,
        call_margin=GRACE_S,
        replica_margin=timeouts.margin_s,
        attempt=MAX_ATTEMPT_S,
        replica_longest=timeouts.longest_s,
        proxy=deployment_options.REQUEST_TIMEOUT_S,
        batch_function=functions["WorkFunction"]["Timeout"],
        lease=LEASE_MS / 1000,
        replica_drain=timeouts.drain_s,
        serve_drain=max(deployment_options.DRAIN_S, *_numbers(CLUSTER, r"graceful_shutdown_timeout_s: ([\d.]+)")),
        balancer_drain=_number(INSTANCES, r"DrainSeconds:\n(?:    .*\n)*?    Default: (\d+)"),
        stop_of_instance=_number(INSTANCES, r"TimeoutStopSec=(\d+)"),
        wait_of_pod=min(_numbers(CLUSTER, r"sleep (\d+)")),
        stop_of_pod=min(_numbers(CLUSTER, r"terminationGracePeriodSeconds: (\d+)")),
        keep_alive_of_serve=deployment_options.KEEP_ALIVE_S,
        keep_alive_of_cluster=_number(CLUSTER, r"keep_alive_timeout_s: (\d+)"),
        keep_alive_of_ingress=ingress.KEEP_ALIVE_S,
        balancer_idle=_number(INSTANCES, r'idle_timeout\.timeout_seconds, Value: "(\d+)"'),
        visibility_per_timeout=_visibility_per_timeout(),
    )


def test_every_wait_ends_before_the_one_around_it() -> None:
    """With the times as they are set, no rule is broken."""
    assert faults(as_built()) == []


# A time that breaks a rule, for each time of the ladder.
WRONG = {
    "api": 25, "function": 29, "client_margin": 0, "call_margin": 0, "replica_margin": 0, "attempt": 121,
    "replica_longest": 130, "proxy": 120, "batch_function": 120, "lease": 300, "replica_drain": 20, "serve_drain": 25,
    "balancer_drain": 40, "stop_of_instance": 40, "wait_of_pod": 30, "stop_of_pod": 90, "keep_alive_of_serve": 60,
    "keep_alive_of_cluster": 60, "keep_alive_of_ingress": 5, "balancer_idle": 90, "visibility_per_timeout": 5,
}  # fmt: skip


@pytest.mark.parametrize("name", [field.name for field in fields(Ladder)])
def test_a_wrong_time_is_found(name: str) -> None:
    """Each time of the ladder has a value that breaks a rule."""
    assert faults(replace(as_built(), **{name: WRONG[name]}))
