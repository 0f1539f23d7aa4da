"""Checks who may do what in template.yaml: the roles, and the environment of each function."""

from __future__ import annotations

import re
from typing import Any

from functions.jobs.storage.contracts import EVENT_SOURCE
from functions.lambdas.settings import BatchSettings
from functions.replica.breaker_store import PARTITION
from shared.settings import PREFIX
from tests.unit.template import ROOT, listed, properties, statements, templates, walk

# Policies of AWS that hold a "*", each with the reason why we attach it.
ALLOWED_MANAGED = {
    "service-role/AmazonAPIGatewayPushToCloudWatchLogs": "API Gateway checks that the role has exactly this policy",
}
# Actions whose statement may name every resource, each with the reason why it cannot name fewer.
UNNAMED = {
    "xray:PutTraceSegments": "X-Ray rights cannot name a resource",
    "xray:PutTelemetryRecords": "X-Ray rights cannot name a resource",
    "ec2:DescribeNetworkInterfaces": "rights to describe cannot name a resource",
    "ec2:DescribeSubnets": "rights to describe cannot name a resource",
    "cloudwatch:DescribeAlarms": "CodeDeploy looks for alarms by name, and AWS's own role for it names every resource",
}


def test_no_statement_names_everything() -> None:
    """No role that we write has a wildcard action. The resource `*` stands only where a reason is listed for it."""
    unnamed = set()
    for name, role in properties("AWS::IAM::Role").items():
        for statement in statements(role):
            assert not [action for action in listed(statement["Action"]) if "*" in action], name
            if statement["Effect"] == "Allow" and "*" in listed(statement["Resource"]):
                unnamed |= set(listed(statement["Action"]))
    assert unnamed == set(UNNAMED)


def test_code_in_a_vpc_cannot_touch_network_interfaces() -> None:
    """Lambda makes the interfaces with the role of the function. The same calls by the function's code are denied."""
    for name in ("InferRole", "WorkRole"):
        found = statements(properties("AWS::IAM::Role")[name])
        granted = {a for s in found if s["Effect"] == "Allow" for a in listed(s["Action"]) if a.startswith("ec2:")}
        (denied,) = [s for s in found if s["Effect"] == "Deny"]
        assert set(denied["Action"]) == granted
        assert denied["Condition"] == {"Null": {"lambda:SourceFunctionArn": "false"}}


def test_managed_policies_are_the_listed_ones() -> None:
    """Only AWS policies with a written reason are attached, and every one of them is still needed."""
    attached = set()
    for role in properties("AWS::IAM::Role").values():
        for leaf in walk(role.get("ManagedPolicyArns", [])):
            if isinstance(leaf, str) and leaf.startswith("arn:"):
                attached.add(leaf.partition(":aws:policy/")[2])
    assert attached == set(ALLOWED_MANAGED)


def test_a_role_reaches_objects_of_tenants_only() -> None:
    """Every right to an object is limited to keys below t/, the prefix of the tenants."""
    for role in properties("AWS::IAM::Role").values():
        for statement in statements(role):
            if [action for action in listed(statement["Action"]) if "Object" in action]:
                for resource in listed(statement["Resource"]):
                    assert re.fullmatch(r"\$\{(In|Out)putBucket\.Arn\}/t/\*/.+", resource["Fn::Sub"])


def test_a_role_lists_the_keys_of_tenants_only() -> None:
    """Every right to list a bucket asks for a prefix below t/. A call without a prefix is refused."""
    for name, role in properties("AWS::IAM::Role").items():
        for statement in statements(role):
            if [action for action in listed(statement["Action"]) if action.startswith("s3:ListBucket")]:
                prefixes = statement["Condition"]["StringLike"]["s3:prefix"]
                assert all(prefix.startswith("t/*/") for prefix in prefixes), name


def test_a_role_reaches_buckets_of_our_account_only() -> None:
    """Every right of S3 names our account, so a bucket of somebody else with the same name is never used."""
    for name, role in properties("AWS::IAM::Role").items():
        for statement in statements(role):
            if [action for action in listed(statement["Action"]) if action.startswith("s3:")]:
                assert statement["Condition"]["StringEquals"] == {"s3:ResourceAccount": {"Ref": "AWS::AccountId"}}, name


def test_every_right_to_items_names_the_keys_they_may_have() -> None:
    """Every right to the table of jobs is limited to partition keys of one kind, such as recipes or the jobs' own."""
    kinds = {"t/*/jobs/*", "t/*/jobs", "t/*/recipes", "due/*", PARTITION}
    for name, role in properties("AWS::IAM::Role").items():
        for statement in statements(role):
            if "JobsTable" in str(statement["Resource"]):
                (wanted,) = statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
                assert wanted in kinds, name
                assert not {"dynamodb:Scan", "dynamodb:*"} & set(listed(statement["Action"])), name


def test_the_key_is_used_through_named_services_only() -> None:
    """A role may decrypt and encrypt only what S3, SQS or DynamoDB ask for on its behalf."""
    for name, role in properties("AWS::IAM::Role").items():
        for statement in statements(role):
            if statement["Resource"] == {"Fn::GetAtt": ["WebhooksKey", "Arn"]}:
                continue  # the functions call KMS with it themselves; see test_notify_alone_reads_webhooks
            if [action for action in listed(statement["Action"]) if action.startswith("kms:")]:
                services = listed(statement["Condition"]["StringEquals"]["kms:ViaService"])
                assert {s["Fn::Sub"].partition(".")[0] for s in services} <= {"s3", "sqs", "dynamodb"}, name


def test_each_role_writes_to_its_own_log_group() -> None:
    """A function cannot write to the log of another function."""
    for name, role in properties("AWS::IAM::Role").items():
        groups = [listed(s["Resource"]) for s in statements(role) if "logs:PutLogEvents" in listed(s["Action"])]
        expected = [[{"Fn::GetAtt": [name.replace("Role", "LogGroup"), "Arn"]}]]
        assert groups == ([] if name in {"ApiAccountRoleResource", "DeploymentRole"} else expected)


def test_infer_may_do_little_but_log_and_trace() -> None:
    """The role of infer reaches no bucket or queue, and of the table only the states of circuit breakers."""
    found = statements(properties("AWS::IAM::Role")["InferRole"])
    granted = {action for s in found for action in listed(s["Action"])}
    assert {a.partition(":")[0] for a in granted} == {"logs", "xray", "ec2", "secretsmanager", "dynamodb", "kms"}
    (items,) = [s for s in found if any(action.startswith("dynamodb:") for action in listed(s["Action"]))]
    assert items["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [PARTITION]}}
    (key,) = [s for s in found if "kms:Decrypt" in listed(s["Action"])]
    assert key["Condition"]["StringEquals"]["kms:ViaService"]["Fn::Sub"].startswith("dynamodb.")


def test_the_functions_that_call_the_model_server_alone_read_the_keys_of_calls() -> None:
    """Only infer and work may read a secret, and only the one that the stack is given."""
    found = {
        name: statement
        for name, role in properties("AWS::IAM::Role").items()
        for statement in statements(role)
        if "secretsmanager:GetSecretValue" in listed(statement["Action"])
    }
    assert set(found) == {"InferRole", "WorkRole"}
    assert all(statement["Resource"] == {"Ref": "CallKeysSecretArn"} for statement in found.values())


def test_an_exemption_from_the_linter_stands_beside_its_reason() -> None:
    """Every linter check that we ignore has a comment that says why."""
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    ignored = templates()["source"]["Metadata"]["cfn-lint"]["config"]["ignore_checks"]
    for check in ignored:
        assert re.search(rf"- {check} # \w+ .{{20,}}", text), check


def test_webhooks_are_called_from_where_nothing_else_can_be_reached() -> None:
    """Notify reads only table items and its own queue. On the cloud it calls only public addresses, outside any VPC."""
    granted = {action for s in statements(properties("AWS::IAM::Role")["NotifyRole"]) for action in listed(s["Action"])}
    assert {a for a in granted if not a.startswith(("logs:", "xray:", "sqs:", "kms:"))} == {"dynamodb:GetItem"}
    assert "sqs:SendMessage" not in granted
    for name in ("NotifyFunction", "JobsFunction"):
        function = properties("AWS::Lambda::Function")[name]
        reach = {"Fn::If": ["IsCloud", "public", "any"]}
        assert function["Environment"]["Variables"]["GLOSSA_WEBHOOK_REACH"] == reach
        assert "VpcConfig" not in function


def test_finalize_alone_may_speak_on_the_bus_and_only_as_us() -> None:
    """Only one role may put events, and only with our source name."""
    found = [
        (name, s) for name, role in properties("AWS::IAM::Role").items() for s in statements(role)
        if "events:PutEvents" in listed(s["Action"])
    ]  # fmt: skip
    assert [name for name, _ in found] == ["FinalizeRole"]
    assert found[0][1]["Condition"] == {"StringEquals": {"events:source": EVENT_SOURCE}}
    bus = {"Fn::GetAtt": ["JobEventBus", "Arn"]}
    assert found[0][1]["Resource"] == bus
    (policy,) = properties("AWS::Events::EventBusPolicy").values()
    assert policy["Statement"] == {
        "Effect": "Deny", "Principal": "*", "Action": "events:PutEvents", "Resource": bus,
        "Condition": {"ArnNotEquals": {"aws:PrincipalArn": {"Fn::GetAtt": ["FinalizeRole", "Arn"]}}},
    }  # fmt: skip


def test_notify_alone_reads_webhooks() -> None:
    """Jobs writes, removes and seals webhooks, and finalize removes them. Only notify reads and unseals one."""
    webhooks = ({"Fn::GetAtt": ["WebhooksTable", "Arn"]}, {"Fn::GetAtt": ["WebhooksKey", "Arn"]})
    granted = {
        (name, action) for name, role in properties("AWS::IAM::Role").items() for s in statements(role)
        if any(resource in webhooks for resource in listed(s["Resource"])) for action in listed(s["Action"])
    }  # fmt: skip
    assert granted == {
        ("JobsRole", "dynamodb:PutItem"), ("JobsRole", "dynamodb:DeleteItem"), ("JobsRole", "kms:Encrypt"),
        ("FinalizeRole", "dynamodb:DeleteItem"), ("NotifyRole", "dynamodb:GetItem"), ("NotifyRole", "kms:Decrypt"),
    }  # fmt: skip


def _environment(function: str) -> set[str]:
    return set(properties("AWS::Lambda::Function")[function]["Environment"]["Variables"])


def test_each_batch_function_is_told_where_everything_is() -> None:
    """The five functions of batch jobs get a variable for each field of the batch settings."""
    names = {PREFIX + field.upper() for field in BatchSettings.model_fields}
    for name in ("Jobs", "Plan", "Work", "Finalize", "Sweep"):
        assert names <= _environment(f"{name}Function"), name


def test_each_function_gets_only_what_the_contract_lists() -> None:
    """Each function gets exactly the variables that it reads."""
    batch = {PREFIX + field.upper() for field in BatchSettings.model_fields}
    callers = {"GLOSSA_AUTH", "GLOSSA_ROLES_AS_TENANTS", "GLOSSA_CORS_ORIGINS"}
    page = {"GLOSSA_PAGE", "GLOSSA_PAGE_STORES"}
    model_server = {
        "GLOSSA_REPLICA_URL", "GLOSSA_CALL_KEYS_SECRET", "GLOSSA_BREAKERS_TABLE", "PYTHAINLP_READ_ONLY",
    }  # fmt: skip
    wanted = {
        "InferFunction": {"GLOSSA_STACK", *callers, *model_server, *page},
        "AuthorizeFunction": {"GLOSSA_STACK", "GLOSSA_KEYS_TABLE", "GLOSSA_ISSUERS"},
        "JobsFunction": {
            "GLOSSA_WEBHOOK_REACH", "GLOSSA_WEBHOOKS_TABLE", "GLOSSA_WEBHOOKS_KEY", *callers, *batch,
        },
        "PlanFunction": batch,
        "WorkFunction": {*model_server, *batch},
        "FinalizeFunction": {"GLOSSA_EVENT_BUS", "GLOSSA_WEBHOOKS_TABLE", *batch},
        "SweepFunction": batch,
        "NotifyFunction": {
            "GLOSSA_STACK", "GLOSSA_JOBS_TABLE", "GLOSSA_WEBHOOKS_TABLE", "GLOSSA_WEBHOOKS_KEY", "GLOSSA_OUTPUT_BUCKET",
            "GLOSSA_NOTIFY_QUEUE_URL", "GLOSSA_WEBHOOK_REACH",
        },
    }  # fmt: skip
    assert {function: _environment(function) for function in wanted} == wanted


def _grants_to_services() -> list[tuple[str, dict[str, Any]]]:
    """Return the statements of queues, buckets and the key that allow a service of AWS something."""
    kinds = ("AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy", "AWS::KMS::Key")
    policies = [(n, p.get("PolicyDocument") or p["KeyPolicy"]) for kind in kinds for n, p in properties(kind).items()]
    found = [(name, statement) for name, policy in policies for statement in policy["Statement"]]
    return [(name, s) for name, s in found if isinstance(s["Principal"], dict) and "Service" in s["Principal"]]


def test_a_service_acts_for_our_account_alone() -> None:
    """A service of AWS that works for somebody else cannot reach our queues, buckets or key."""
    found = _grants_to_services()
    assert len(found) > 5
    for name, statement in found:
        account = statement["Condition"].get("StringEquals", {}).get("aws:SourceAccount")
        context = statement["Condition"].get("ArnLike", {}).get("kms:EncryptionContext:aws:logs:arn", {})
        assert account == {"Ref": "AWS::AccountId"} or ":${AWS::AccountId}:" in context["Fn::Sub"], name
