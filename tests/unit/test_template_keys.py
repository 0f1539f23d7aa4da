"""Checks that template.yaml encrypts everything it stores with one customer-managed key, and who may use that key."""

from __future__ import annotations

from typing import Any

import pytest

from functions.jobs.state.webhooks import seal_context
from tests.unit.template import condition, listed, properties, resources

KEY = {"Fn::If": ["OwnsKey", {"Fn::GetAtt": ["EncryptionKey", "Arn"]}, {"Ref": "EncryptionKeyArn"}]}


def _bucket_key(bucket: dict[str, Any]) -> Any:
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    return rule["ServerSideEncryptionByDefault"].get("KMSMasterKeyID")


# The property of each type of resource that names the key.
PLACES = {
    "AWS::SQS::Queue": lambda found: found["KmsMasterKeyId"],
    "AWS::DynamoDB::Table": lambda found: found["SSESpecification"]["KMSMasterKeyId"],
    "AWS::Logs::LogGroup": lambda found: found["KmsKeyId"],
    "AWS::Lambda::Function": lambda found: found["KmsKeyArn"],
    "AWS::S3::Bucket": _bucket_key,
}
# What is encrypted with another key, each with the reason.
OTHER_KEYS = {"AccessLogBucket": "S3 delivers access logs only to a bucket that is encrypted with keys of S3"}


@pytest.mark.parametrize("kind", PLACES)
def test_everything_stored_is_encrypted_with_the_one_key(kind: str) -> None:
    """Every queue, table, log group, bucket and environment names the key of the stack or the one that was given."""
    found = properties(kind)
    assert found
    assert {name for name, each in found.items() if PLACES[kind](each) != KEY} == set(OTHER_KEYS) & set(found)


def test_a_key_of_ones_own_replaces_the_one_of_the_stack() -> None:
    """The stack makes a key only when no key is given, and every use of it follows that condition."""
    assert resources("AWS::KMS::Key")["EncryptionKey"]["Condition"] == "OwnsKey"
    assert condition("OwnsKey", {"EncryptionKeyArn": ""})
    assert not condition("OwnsKey", {"EncryptionKeyArn": "arn:aws:kms:us-east-1:123456789012:key/a"})


def test_the_key_rotates_and_is_hard_to_lose() -> None:
    """AWS makes new key material each year. A deleted key can be brought back for 30 days."""
    key = properties("AWS::KMS::Key")["EncryptionKey"]
    assert (key["EnableKeyRotation"], key["PendingWindowInDays"]) == (True, 30)


def _key_statements() -> dict[str, dict[str, Any]]:
    return {s["Sid"]: s for s in properties("AWS::KMS::Key")["EncryptionKey"]["KeyPolicy"]["Statement"]}


def test_nobody_uses_the_key_without_a_condition() -> None:
    """Data is encrypted and decrypted only through services, for our account, or by services for our resources."""
    cryptographic = {"kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"}
    for name, statement in _key_statements().items():
        actions = set(listed(statement["Action"]))
        assert "kms:*" not in actions
        assert ("Condition" in statement) or not actions & {*cryptographic, "kms:CreateGrant"}, name
        assert statement["Principal"] != "*"
        assert statement["Effect"] == "Allow"


def test_the_key_of_webhooks_binds_each_to_tenant_and_job() -> None:
    """Nobody encrypts or decrypts with it without naming a tenant and a job. It rotates and is as hard to lose."""
    key = properties("AWS::KMS::Key")["WebhooksKey"]
    administers, uses = key["KeyPolicy"]["Statement"]
    assert administers == _key_statements()["AccountAdministers"]
    assert uses["Action"] == ["kms:Encrypt", "kms:Decrypt"]
    assert uses["Condition"] == {"Null": {f"kms:EncryptionContext:{n}": "false" for n in seal_context("t", "j")}}
    assert (key["EnableKeyRotation"], key["PendingWindowInDays"]) == (True, 30)


def test_each_service_uses_the_key_for_this_stack_alone() -> None:
    """Logs use the key for log groups of this stack, and EventBridge for rules of this stack in this account."""
    found = _key_statements()
    (logs,) = found["LogsOfThisStack"]["Condition"]["ArnLike"].items()
    assert logs[0] == "kms:EncryptionContext:aws:logs:arn"
    assert logs[1]["Fn::Sub"].endswith(":${AWS::AccountId}:log-group:/${AWS::StackName}/*")
    events = found["EventsOfThisStack"]["Condition"]
    assert events["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert events["ArnLike"]["aws:SourceArn"]["Fn::Sub"].endswith(":${AWS::AccountId}:rule/*${AWS::StackName}-*")


def test_log_groups_have_the_names_that_the_key_accepts() -> None:
    """Every log group begins with the name of the stack. Otherwise CloudWatch could not use the key for it."""
    for name, group in properties("AWS::Logs::LogGroup").items():
        assert group["LogGroupName"]["Fn::Sub"].startswith("/${AWS::StackName}/"), name


def test_grants_are_given_to_services_only() -> None:
    """The account gives the key away only in grants that a service of AWS asks for."""
    granted = _key_statements()["ServicesHoldGrants"]
    assert granted["Condition"]["Bool"] == {"kms:GrantIsForAWSResource": "true"}
    assert "kms:ViaService" in granted["Condition"]["StringEquals"]
