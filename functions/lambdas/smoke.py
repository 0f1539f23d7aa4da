"""The Lambda function that CodeDeploy runs before a new version of infer gets requests: asks it for one page.

The list of models needs no model server. It is answered only when the version starts, and can read its settings,
catalog and tokenizers. AWS clients are made at the first call.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from functions.lambdas.settings import FunctionSettings, read_function_settings
from shared.log import log_event

PAGE = "/v1/models"
OK = 200


class SmokeSettings(FunctionSettings):
    """`new_version`: address of the version of infer that this deployment publishes."""

    new_version: str


def build(settings: SmokeSettings, client: Callable[[str], Any]) -> Callable[[Mapping[str, Any]], dict[str, str]]:
    """Make what answers one event of CodeDeploy. `client` makes a client of an AWS service by its name."""

    def run(event: Mapping[str, Any]) -> dict[str, str]:
        request = _request(account=settings.new_version.split(":")[4])
        answer = client("lambda").invoke(FunctionName=settings.new_version, Payload=json.dumps(request))
        succeeded = "FunctionError" not in answer and _status(answer["Payload"].read()) == OK
        status = "Succeeded" if succeeded else "Failed"
        log_event("smoke", level="info" if succeeded else "error", function="smoke", state=status)
        client("codedeploy").put_lifecycle_event_hook_execution_status(
            deploymentId=event["DeploymentId"],
            lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
            status=status,
        )
        return {"status": status}

    return run


def _request(account: str) -> dict[str, Any]:
    """Return the event of a caller named smoke, as API Gateway makes it for SigV4 and for Bearer tokens."""
    context = {
        "requestId": "smoke", "httpMethod": "GET", "path": PAGE, "stage": "live",
        "identity": {"accountId": account, "userArn": f"arn:aws:iam::{account}:user/smoke"},
        "authorizer": {"tenant": "smoke", "principal": "smoke", "scopes": "infer"},
    }  # fmt: skip
    return {
        "httpMethod": "GET", "path": PAGE, "resource": "/{proxy+}", "headers": {}, "multiValueHeaders": {},
        "queryStringParameters": None, "multiValueQueryStringParameters": None, "pathParameters": None,
        "body": None, "isBase64Encoded": False, "requestContext": context,
    }  # fmt: skip


def _status(payload: bytes) -> object:
    try:
        return json.loads(payload)["statusCode"]
    except (ValueError, LookupError, TypeError):
        return None


def handler(event: dict[str, Any], context: Any) -> dict[str, str]:  # noqa: ARG001 - the runtime passes it
    """Answer one event of CodeDeploy."""
    return smoke(event)


def _boto3_client(service: str) -> Any:
    import boto3  # noqa: PLC0415 - takes 300 ms, which importing the file must not

    return boto3.client(service)


smoke = build(read_function_settings(SmokeSettings), _boto3_client)
