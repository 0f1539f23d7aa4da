"""Writes out the roles of the expanded template: every reference becomes the ARN of a made-up account.

Where a condition chooses, everything optional is there. Must not know what a statement means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tests.rights.policy import Statement
from tests.unit.template import templates

ACCOUNT, REGION = "123456789012", "us-east-1"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::StackName": "glossa",
    "AWS::URLSuffix": "amazonaws.com",
}
_HERE = f"{REGION}:{ACCOUNT}"
# The ARN of a resource of each type, by its logical id.
ARNS = {
    "AWS::S3::Bucket": "arn:aws:s3:::{}",
    "AWS::SQS::Queue": f"arn:aws:sqs:{_HERE}:{{}}",
    "AWS::DynamoDB::Table": f"arn:aws:dynamodb:{_HERE}:table/{{}}",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{_HERE}:log-group:{{}}:*",
    "AWS::KMS::Key": f"arn:aws:kms:{_HERE}:key/{{}}",
    "AWS::Events::EventBus": f"arn:aws:events:{_HERE}:event-bus/{{}}",
    "AWS::Events::Rule": f"arn:aws:events:{_HERE}:rule/{{}}",
    "AWS::Lambda::Function": f"arn:aws:lambda:{_HERE}:function:{{}}",
    "AWS::SecretsManager::Secret": f"arn:aws:secretsmanager:{_HERE}:secret:{{}}",
    "AWS::SNS::Topic": f"arn:aws:sns:{_HERE}:{{}}",
}
PARAMETERS = {"CallKeysSecretArn": f"arn:aws:secretsmanager:{_HERE}:secret:CallKeysSecret"}
_NOTHING = object()


def arn(logical_id: str) -> str:
    """Return the made-up ARN of a resource. Raises KeyError for a type that has none here."""
    return ARNS[templates()["expanded"]["Resources"][logical_id]["Type"]].format(logical_id)


def _reference(name: str) -> Any:
    if name == "AWS::NoValue":
        return _NOTHING
    if name in PSEUDO:
        return PSEUDO[name]
    parameters = templates()["source"]["Parameters"]
    if name in parameters:
        return PARAMETERS.get(name) or str(parameters[name].get("Default") or name)
    return name if templates()["expanded"]["Resources"][name]["Type"] not in ARNS else arn(name).rpartition("/")[2]


def _substituted(text: str, more: Mapping[str, Any]) -> str:
    def one(found: re.Match[str]) -> str:
        name = found[1]
        if name in more:
            return str(resolve(more[name]))
        return arn(name[:-4]) if name.endswith(".Arn") else str(_reference(name))

    return re.sub(r"\$\{([^}]+)\}", one, text)


def resolve(value: Any) -> Any:
    """Return a value without intrinsic functions. Of Fn::If the first branch that holds something is taken."""
    match value:
        case {"Ref": str(name)}:
            found = _reference(name)
        case {"Fn::GetAtt": [str(name), _]}:
            found = arn(name)
        case {"Fn::Sub": [str(text), dict(more)]}:
            found = _substituted(text, more)
        case {"Fn::Sub": str(text)}:
            found = _substituted(text, {})
        case {"Fn::Join": [str(between), list(parts)]}:
            found = between.join(str(resolve(part)) for part in parts)
        case {"Fn::If": [_, first, second]}:
            chosen = resolve(first)
            found = resolve(second) if chosen is _NOTHING else chosen
        case dict():
            found = {name: inner for name, each in value.items() if (inner := resolve(each)) is not _NOTHING}
        case list():
            found = [inner for each in value if (inner := resolve(each)) is not _NOTHING]
        case _:
            found = value
    return found


def roles() -> dict[str, list[Statement]]:
    """Return the statements of each role that a function of ours has."""
    found = templates()["expanded"]["Resources"].values()
    used = {resolve(each["Properties"]["Role"]) for each in _functions_as_roles(found)}
    return {name: _statements(name) for name in sorted(used)}


def _functions_as_roles(found: Any) -> list[dict[str, Any]]:
    functions = [each for each in found if each["Type"] == "AWS::Lambda::Function"]
    return [{"Properties": {"Role": each["Properties"]["Role"]["Fn::GetAtt"][0]}} for each in functions]


def _statements(role: str) -> list[Statement]:
    policies = templates()["expanded"]["Resources"][role]["Properties"].get("Policies", [])
    return [statement for policy in policies for statement in resolve(policy["PolicyDocument"]["Statement"])]
