"""The function that CodeDeploy runs before a new version of infer gets requests."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import pytest

from functions.http.authentication import Auth, AuthKind
from functions.http.resolver import Resolver
from tests.events import FakeContext
from tests.unit.functions.http.world import make

VERSION = "arn:aws:lambda:eu-west-1:123456789012:function:infer:8"
EVENT = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "hook-1"}


class Clients:
    """Clients of Lambda and CodeDeploy. The first one answers as the function of `api` would, or with `answer`."""

    def __init__(self, api: Resolver, answer: Mapping[str, Any] | None = None) -> None:
        self.api, self.answer = api, answer
        self.invoked: list[str] = []
        self.reported: list[dict[str, str]] = []

    def __call__(self, service: str) -> Any:
        """Return the client of a service; this object is all of them."""
        assert service in {"lambda", "codedeploy"}
        return self

    def invoke(self, *, FunctionName: str, Payload: str) -> Mapping[str, Any]:  # noqa: N803 - names of AWS
        """Answer an invocation."""
        self.invoked.append(FunctionName)
        if self.answer is not None:
            return self.answer
        return {"Payload": io.BytesIO(json.dumps(self.api.resolve(json.loads(Payload), FakeContext())).encode())}

    def put_lifecycle_event_hook_execution_status(self, **told: str) -> None:
        """Keep what CodeDeploy is told."""
        self.reported.append(told)


def _run(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("GLOSSA_NEW_VERSION", VERSION)
    from functions.lambdas.smoke import SmokeSettings, build  # noqa: PLC0415 - it reads its settings when imported

    return build(SmokeSettings(new_version=VERSION), clients)(EVENT)


@pytest.mark.parametrize("kind", ["iam", "bearer", "none"])
def test_a_version_that_answers_gets_requests(kind: AuthKind, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real API answers the page however callers are known, and CodeDeploy is told so with the ids of its event."""
    clients = Clients(make(auth=Auth(kind)))
    assert _run(clients, monkeypatch) == {"status": "Succeeded"}
    assert clients.invoked == [VERSION]
    assert clients.reported == [
        {"deploymentId": "d-1", "lifecycleEventHookExecutionId": "hook-1", "status": "Succeeded"}
    ]


@pytest.mark.parametrize(
    "answer",
    [
        {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorType": "Runtime.ImportModuleError"}')},
        {"Payload": io.BytesIO(b'{"statusCode": 500}')},
        {"Payload": io.BytesIO(b"null")},
        {"Payload": io.BytesIO(b"")},
    ],
)
def test_a_version_that_does_not_answer_gets_none(answer: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that does not start, or answers anything else, fails the deployment."""
    clients = Clients(make(), answer)
    assert _run(clients, monkeypatch) == {"status": "Failed"}
    assert clients.reported[0]["status"] == "Failed"
