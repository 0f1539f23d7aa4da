"""The calls that each role makes: those that were recorded, those that follow from them, and those of the services.

The emulator asks about no key of KMS and makes no call of a service under a role, so these follow from the template.
Must not know how the calls were recorded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from functions.replica.breaker_store import PARTITION
from tests.rights.policy import Call
from tests.rights.resolve import ACCOUNT, REGION, arn, resolve
from tests.unit.template import properties, target

RECORDING = Path(__file__).parents[1] / "data/rights/calls.json"
INTERFACE = f"arn:aws:ec2:{REGION}:{ACCOUNT}:network-interface/eni-1"
# What a service does with the key for each call to an encrypted resource. The rights are those that AWS documents:
# SQS developer guide, "Key management"; S3 user guide, "Using server-side encryption with KMS"; DynamoDB developer
# guide, "Encryption at rest".
KMS_CALLS = {
    "s3:GetObject": ("kms:Decrypt",),
    "s3:GetObjectVersion": ("kms:Decrypt",),
    "s3:PutObject": ("kms:GenerateDataKey",),
    "sqs:SendMessage": ("kms:GenerateDataKey", "kms:Decrypt"),
    "sqs:ReceiveMessage": ("kms:Decrypt",),
    **dict.fromkeys((f"dynamodb:{name}" for name in ("GetItem", "Query", "PutItem", "UpdateItem")), ("kms:Decrypt",)),
}


# The calls of functions that the recorded stack lacks, each with the reason.
UNRECORDED = {
    "AuthorizeRole": "the recorded stack is open (Auth=none), so it has no authorizer",
    "SmokeRole": "the emulator has no CodeDeploy, so no new version is tried before it takes requests",
}
# Calls that a function makes only while the model server fails, which it does not in the recorded run.
IN_TROUBLE = {"InferRole", "WorkRole"}
GROUP = f"arn:aws:codedeploy:{REGION}:{ACCOUNT}:deploymentgroup:glossa-Application/glossa-Group"


def written() -> list[Call]:
    """Return the calls of the functions that are not in the recorded stack, as their code makes them."""
    return [
        Call("AuthorizeRole", "dynamodb:GetItem", arn("KeysTable")),
        Call("SmokeRole", "lambda:InvokeFunction", arn("InferFunction") + ":2"),
        Call("SmokeRole", "codedeploy:PutLifecycleEventHookExecutionStatus", GROUP),
    ]


def in_trouble() -> list[Call]:
    """Return the calls of the functions that share their circuit breakers, as functions/replica makes them."""
    context = {"dynamodb:LeadingKeys": (PARTITION,)}
    return [
        Call(role, f"dynamodb:{action}", arn("JobsTable"), context)
        for role in sorted(IN_TROUBLE)
        for action in ("GetItem", "PutItem")
    ]


def recorded() -> list[Call]:
    """Return the calls of the recorded run."""
    return from_json(json.loads(RECORDING.read_text(encoding="utf-8")))


def from_json(read: Iterable[dict[str, Any]]) -> list[Call]:
    """Return calls from their JSON."""
    return [
        Call(each["role"], each["action"], each["resource"], {k: tuple(v) for k, v in each["context"].items()})
        for each in read
    ]


def to_json(calls: Iterable[Call]) -> str:
    """Return calls as JSON, one a line, in a fixed order."""
    lines = {
        json.dumps(
            {"role": c.role, "action": c.action, "resource": c.resource, "context": c.context}, ensure_ascii=False
        )
        for c in calls
    }
    return "[\n" + ",\n".join(sorted(lines)) + "\n]\n"


def needed() -> list[Call]:
    """Return every call that a role must be allowed to make."""
    own = [*recorded(), *written(), *in_trouble()]
    asked = [each for call in own for each in _asks_listing(call)]
    made = [*map(_complete, [*own, *asked]), *_service_calls()]
    return list(dict.fromkeys([*made, *(each for call in made for each in _kms_calls(call))]))


def _asks_listing(call: Call) -> Iterator[Call]:
    """Yield what the object store asks when S3 refuses a read: whether the key is listed. The emulator says 404."""
    lists = {"s3:GetObject": "s3:ListBucket", "s3:GetObjectVersion": "s3:ListBucketVersions"}
    if call.action in lists:
        bucket, _, key = call.resource.partition("/")
        yield Call(call.role, lists[call.action], bucket, {"s3:prefix": (key,)})


def _complete(call: Call) -> Call:
    """Add the keys that AWS adds to every call of a service."""
    more = {"s3:ResourceAccount": (ACCOUNT,)} if call.action.startswith("s3:") else {}
    return Call(call.role, call.action, call.resource, {**call.context, **more})


def _kms_calls(call: Call) -> Iterator[Call]:
    service = call.action.partition(":")[0]
    for action in KMS_CALLS.get(call.action, ()):
        yield Call(call.role, action, arn("EncryptionKey"), {"kms:ViaService": (f"{service}.{REGION}.amazonaws.com",)})


def _service_calls() -> Iterator[Call]:
    """Yield what Lambda itself does with the role of a function: log, trace, poll queues, make network interfaces."""
    roles = {name: target(each["Role"]) for name, each in properties("AWS::Lambda::Function").items()}
    for name, function in properties("AWS::Lambda::Function").items():
        group = arn(target(function["LoggingConfig"]["LogGroup"])).removesuffix("*") + "log-stream:1"
        yield from (Call(roles[name], f"logs:{action}", group) for action in ("CreateLogStream", "PutLogEvents"))
        yield from (Call(roles[name], f"xray:Put{what}", "*") for what in ("TraceSegments", "TelemetryRecords"))
        if "VpcConfig" in function:
            yield from (Call(roles[name], f"ec2:{action}", INTERFACE) for action in MAKES_INTERFACES)
            yield from (Call(roles[name], f"ec2:{action}", "*") for action in SEES_INTERFACES)
    for source in properties("AWS::Lambda::EventSourceMapping").values():
        queue, role = resolve(source["EventSourceArn"]), roles[target(source["FunctionName"])]
        for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes"):
            yield Call(role, f"sqs:{action}", queue)


MAKES_INTERFACES = (
    "CreateNetworkInterface", "DeleteNetworkInterface", "AssignPrivateIpAddresses", "UnassignPrivateIpAddresses",
)  # fmt: skip
SEES_INTERFACES = ("DescribeNetworkInterfaces", "DescribeSubnets")


def forbidden(calls: Iterable[Call]) -> list[Call]:
    """Return calls that look like needed ones and that no role may make: elsewhere, for others, or by other means."""
    found: list[Call] = []
    for call in calls:
        found += _elsewhere(call)
        for name in call.context:
            found += _otherwise(call, name)
        if call.action.startswith("ec2:"):  # the same call by the code of the function
            found.append(_with(call, {"lambda:SourceFunctionArn": (arn("InferFunction"),)}))
    return list(dict.fromkeys(found))


def _with(call: Call, context: dict[str, tuple[str, ...]], resource: str | None = None) -> Call:
    return Call(call.role, call.action, resource or call.resource, {**call.context, **context})


def _elsewhere(call: Call) -> Iterator[Call]:
    """Yield the same call on a resource of another account, and on another resource of ours."""
    if call.resource == "*":
        return
    parts = call.resource.split(":", 5)
    if parts[2] == "s3":
        bucket, _, key = parts[5].partition("/")
        yield _with(call, {}, f"arn:aws:s3:::Other{'/' + key if key else ''}")
        if key:
            yield from (_with(call, {}, f"arn:aws:s3:::{bucket}/{other}") for other in ("u/x", "t/local/elsewhere/x"))
        return
    yield _with(call, {}, ":".join([*parts[:4], "999999999999", parts[5]]))
    if parts[2] != "ec2":
        name = parts[5].rpartition("/")[0] + "/Other" if parts[2] == "dynamodb" else "Other/Other"
        yield _with(call, {}, ":".join([*parts[:5], name]))


def _otherwise(call: Call, name: str) -> Iterator[Call]:
    """Yield the same call with other values of one condition key, and without the key."""
    others = {
        "dynamodb:LeadingKeys": ("x/1", "t/local/elsewhere"),
        "s3:prefix": ("", "u/", "t/local/elsewhere"),
        "s3:ResourceAccount": ("999999999999",),
        "kms:ViaService": (f"ec2.{REGION}.amazonaws.com",),
        "events:source": ("somebody",),
    }
    yield from (_with(call, {name: (other,)}) for other in others.get(name, ()))
    if name not in {"dynamodb:LeadingKeys", "s3:if-none-match"}:  # ForAllValues is true without a key
        yield Call(call.role, call.action, call.resource, {n: v for n, v in call.context.items() if n != name})
