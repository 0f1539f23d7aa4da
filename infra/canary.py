"""The canary: a function that calls the API for real once a minute, and publishes whether and how fast it was answered.

It stands in infra/observability.yaml as it is here, and a test compares both. The log line is in CloudWatch's embedded
metric format, with the names of shared/metrics.py. It needs nothing but the Lambda runtime. It logs no text and no key.
"""

import json
import os
import time
import urllib.error
import urllib.request
from typing import Any

PATH = "/v1/text-classification"
BODY = json.dumps({"inputs": "The train to the coast was late again."}).encode()
TIMEOUT_S = 28
OK = 200


def headers(url: str) -> dict[str, str]:
    """Return the headers of the call: with an API key when there is one, else signed with the function's own role."""
    import boto3  # the first call of a run pays for it, not the start
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    plain = {"content-type": "application/json"}
    if secret := os.environ.get("KEY_SECRET_ARN"):
        key = boto3.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]
        return {**plain, "authorization": f"Bearer {key}"}
    request = AWSRequest("POST", url, plain, BODY)
    SigV4Auth(boto3.Session().get_credentials(), "execute-api", os.environ["AWS_REGION"]).add_auth(request)
    return dict(request.headers)


def call(url: str) -> tuple[int, bool]:
    """Return the status of one call, and whether the answer has one result. Status 0 means that nothing came back."""
    try:
        request = urllib.request.Request(url, BODY, headers(url))
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return answer.status, len(json.load(answer)["results"]) == 1
    except urllib.error.HTTPError as error:
        return error.code, False
    except (OSError, ValueError, LookupError):
        return 0, False


def handler(event: object, context: object) -> dict[str, int]:
    """Call the API once, and log the result as two metrics."""
    started_s = time.monotonic()
    status, is_good = call(os.environ["API_URL"].rstrip("/") + PATH)
    metrics = [{"Name": "canary_success", "Unit": "Count"}, {"Name": "canary_latency_ms", "Unit": "Milliseconds"}]
    line: dict[str, Any] = {
        "event": "canary",
        "status": status,
        "stack": os.environ["STACK"],
        "canary_success": int(status == OK and is_good),
        "canary_latency_ms": round(1000 * (time.monotonic() - started_s), 1),
        "_aws": {
            "Timestamp": int(time.time() * 1000),
            "CloudWatchMetrics": [{"Namespace": "Glossa", "Dimensions": [["stack"]], "Metrics": metrics}],
        },
    }
    print(json.dumps(line), flush=True)
    return {"status": status, "success": line["canary_success"]}
