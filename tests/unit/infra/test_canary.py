"""The canary: what it sends, what it publishes, and that the stack holds this very code."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest

from functions.replica.fake import SentRequest
from functions.replica.transport import Reply
from shared.metrics import METRICS, NAMESPACE
from tests.embedded_metrics import json_lines, published
from tests.loopback import serving
from tests.unit.infra.stacks import resources, stack
from tests.unit.template import ROOT

FILE = ROOT / "infra/canary.py"
GOOD = json.dumps({"results": [[{"label": "news", "score": 0.9}]]}).encode()
MAX_INLINE_CHARS = 4096


def load() -> ModuleType:
    """Load the file as the runtime does."""
    spec = importlib.util.spec_from_file_location("index", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def _running(monkeypatch: pytest.MonkeyPatch, reply: Reply) -> Iterator[list[SentRequest]]:
    sent: list[SentRequest] = []

    def respond(request: SentRequest) -> Reply:
        sent.append(request)
        return reply

    with serving(respond) as (address, _):
        given = {
            "API_URL": f"{address}/live", "STACK": "glossa-dev-service", "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret-of-the-canary",
        }  # fmt: skip
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        yield sent


def test_the_stack_holds_this_code() -> None:
    """The template has infra/canary.py word for word, and CloudFormation takes it inline."""
    (function,) = resources(stack("observability"), "AWS::Lambda::Function").values()
    written = FILE.read_text(encoding="utf-8")
    assert function["Properties"]["Code"]["ZipFile"] == written
    assert len(written) <= MAX_INLINE_CHARS


@pytest.mark.parametrize(
    ("reply", "status", "success"),
    [
        (Reply(200, {}, GOOD), 200, 1),
        (Reply(200, {}, b'{"results": []}'), 200, 0),
        (Reply(200, {}, b"not json"), 0, 0),
        (Reply(503, {}, b"{}"), 503, 0),
    ],
)
def test_it_publishes_what_came_back(
    reply: Reply, status: int, success: int, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """A good answer is a success. Another status, another body and no JSON are none. The registry has both metrics."""
    with _running(monkeypatch, reply) as sent:
        assert load().handler({}, None) == {"status": status, "success": success}
    assert [(request.method, request.path) for request in sent] == [("POST", "/live/v1/text-classification")]
    out = capsys.readouterr().out
    found = {each.name: each for each in published(json_lines(out))}
    assert set(found) == {name for name, metric in METRICS.items() if "canary" in metric.emitters}
    for name, each in found.items():
        assert (each.namespace, each.unit) == (NAMESPACE, METRICS[name].unit)
        assert tuple(key for key, _ in each.dimensions) in METRICS[name].dimension_sets
    assert found["canary_success"].value == success
    assert "secret" not in out


def test_it_signs_for_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key, the call has a signature for the API of its region."""
    with _running(monkeypatch, Reply(200, {}, GOOD)) as sent:
        load().handler({}, None)
    assert sent[0].headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/")
    assert "/eu-west-1/execute-api/" in sent[0].headers["authorization"]


def test_no_answer_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """When nobody listens, the result is a failure, and no exception."""
    with _running(monkeypatch, Reply(200, {}, GOOD)):
        monkeypatch.setenv("API_URL", "http://127.0.0.1:9/live")
        assert load().handler({}, None) == {"status": 0, "success": 0}
