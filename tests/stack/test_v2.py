"""The Open Inference Protocol through the API of the template: binary bodies, errors of the protocol, and health."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
import urllib3

from functions.replica.client import ReplicaClient
from local.workspace import ROOT
from shared.catalog import load_catalog
from shared.errors import ReplicaError
from shared.messages import InferCall, Tensor
from shared.protocol import decode_output, encode_call
from tests.stack.conftest import RunningStack
from tests.unit.functions.replica.world import START_S

pytestmark = pytest.mark.stack
MODEL = "/v2/models/mini"
CALL = encode_call(InferCall("mini", "topic", Tensor.ints([0, 35, 2, 0, 35, 36, 2]), Tensor.ints([3, 4])))


def ask(
    running: RunningStack, method: str, path: str, data: bytes = b"", headers: Mapping[str, str] | None = None
) -> urllib3.BaseHTTPResponse:
    """Send one request to the API, bytes as they are."""
    url = running.stack.api_url + path
    return urllib3.request(method, url, body=data, headers=dict(headers or {}), timeout=30.0, retries=False)


@pytest.mark.parametrize("path", [f"{MODEL}/infer", f"{MODEL}/versions/1/infer"])
def test_binary_tensors_pass_the_api_in_both_directions(running: RunningStack, path: str) -> None:
    """The encoders of the protocol work against the API as against a model server."""
    answer = ask(running, "POST", path, bytes(CALL.data), {**CALL.headers, "accept": "*/*"})
    assert answer.status == 200, answer.data
    headers = {name.lower(): value for name, value in answer.headers.items()}
    assert int(headers["inference-header-content-length"]) < len(answer.data)
    logits = decode_output(headers, answer.data).outputs["logits"]
    n_labels = len(load_catalog(ROOT / "catalog.toml").model("mini").heads["topic"].labels)
    assert logits.shape == (2, n_labels)


def test_errors_have_the_form_of_the_protocol(running: RunningStack) -> None:
    """Those of the function and those of the server alike."""
    for path, data, status in (("/v2/models/none/infer", b"{}", 404), (f"{MODEL}/infer", b"{", 400)):
        answer = ask(running, "POST", path, data, {"content-type": "application/json"})
        assert (answer.status, set(json.loads(answer.data)) >= {"error", "code"}) == (status, True), answer.data


@pytest.mark.parametrize(
    "path", ["/v2", "/v2/health/live", "/v2/health/ready", MODEL, f"{MODEL}/ready", f"{MODEL}/stats"]
)
def test_the_other_routes_are_answered(running: RunningStack, path: str) -> None:
    """Metadata, health and statistics come from the model server."""
    assert ask(running, "GET", path).status == 200


def test_the_server_itself_answers_no_stranger(running: RunningStack) -> None:
    """Who goes past the API to the model server, without a key, is refused."""
    stranger = ReplicaClient(running.stack.replica_url, clock=lambda: START_S)
    with pytest.raises(ReplicaError, match="did not take the request"):
        stranger.infer([InferCall("mini", "topic", Tensor.ints([0, 2]), Tensor.ints([2]))], START_S + 20.0)
