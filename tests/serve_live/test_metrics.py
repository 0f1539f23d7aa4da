"""The metrics of a running server, as its Prometheus address offers them."""

from __future__ import annotations

import json
import re
import time
import urllib.parse

import pytest

from local.ray_workspace import temp_dir
from shared.messages import InferCall, Tensor
from shared.metrics import DIMENSIONS, EXPORTED_NAME, FRONT, METRICS, REPLICA
from tests.leaks import CANARY, leaks
from tests.serve_live.conftest import Server

pytestmark = pytest.mark.ray
WAIT_S = 60.0
SAMPLE = re.compile(r"(?P<name>ray_glossa_\w+)\{(?P<labels>[^}]*)\} (?P<value>\S+)")
LABEL = re.compile(r'(\w+)="([^"]*)"')
PART_OF_A_HISTOGRAM = re.compile(r"_(?:bucket|sum|count)$")
BROKEN = "replica_broken_passes"  # appears with the first pass that fails


def _address(server: Server) -> str:
    (port,) = {path.resolve() for path in temp_dir(server.workspace).rglob("metrics_export_port*")}
    return f"http://127.0.0.1:{int(port.read_text(encoding='utf-8'))}/metrics"


def _read(server: Server, found: dict[str, set[tuple[str, ...]]]) -> None:
    """Add the sets of dimensions of each metric of ours that Prometheus would get now.

    Ray offers the value of a gauge once, until it is set again.
    """
    text = server.pool.request("GET", _address(server), timeout=30.0).data.decode()
    for sample in SAMPLE.finditer(text):
        name = EXPORTED_NAME.fullmatch(PART_OF_A_HISTOGRAM.sub("", sample["name"]))
        assert name is not None
        labels = dict(LABEL.findall(sample["labels"]))
        ours = tuple(key for key in DIMENSIONS if key in labels)
        assert all(DIMENSIONS[key].fullmatch(labels[key]) for key in ours)
        found.setdefault(name[1], set()).add(ours)


def test_no_text_of_a_call_reaches_a_log_or_a_metric(server: Server) -> None:
    """A unique text in the id and in the name of a parameter of a call is in no log, and in no metric."""
    body = {"id": CANARY, "parameters": {"head": "topic", CANARY: 1}, "inputs": []}
    reply = server.ask("POST", f"/v2/models/small/infer?q={urllib.parse.quote(CANARY)}", json.dumps(body).encode())
    assert 400 <= reply.status < 500
    found = server.pool.request("GET", _address(server), timeout=30.0).data.decode()
    logs = temp_dir(server.workspace).rglob("logs/**/*")
    places = {path.name: path.read_text("utf-8", "replace") for path in logs if path.is_file()}
    assert len(places) > 3
    assert (
        leaks(places | {"metrics": found, "serve.log": (server.workspace.log / "serve.log").read_text("utf-8")}) == []
    )


def test_prometheus_gets_every_metric_of_replicas_and_front(server: Server) -> None:
    """Every metric of the registry that a replica or the front emits is offered, with its dimensions."""
    good = InferCall("small", "topic", Tensor.ints([0, 7, 2]), Tensor.ints([3]))
    assert server.infer(good).status == 200
    assert server.infer(InferCall("small", "none", Tensor.ints([0, 7, 2]), Tensor.ints([3]))).status == 404
    wanted = {name for name, metric in METRICS.items() if {REPLICA, FRONT} & set(metric.emitters)} - {BROKEN}
    ends_s = time.monotonic() + WAIT_S
    found: dict[str, set[tuple[str, ...]]] = {}
    while not wanted <= set(found) and time.monotonic() < ends_s:
        time.sleep(1.0)
        _read(server, found)
    assert wanted <= set(found)
    for name, dimensions in found.items():
        assert dimensions <= set(METRICS[name].dimensions) - {()}, name
