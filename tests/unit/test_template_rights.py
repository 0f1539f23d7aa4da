"""Checks who may do what in template.yaml: the roles, the access to the API, and the environment of each function."""

from __future__ import annotations

import itertools
import re

import pytest

from functions.jobs.storage.contracts import EVENT_SOURCE
from functions.lambdas.settings import BatchSettings
from shared.settings import PREFIX
from tests.unit.template import ROOT, condition, holds, listed, properties, statements, templates, walk

# Policies of AWS that hold a "*", each with the reason why we attach it.
ALLOWED_MANAGED = {
    "AWSXRayDaemonWriteAccess": "X-Ray rights cannot name a resource",
    "service-role/AWSLambdaVPCAccessExecutionRole": "network interfaces have no name before Lambda creates them",
    "service-role/AmazonAPIGatewayPushToCloudWatchLogs": "API Gateway checks that the role has exactly this policy",
}
REAL_ACCOUNT = "123456789012"


def test_no_statement_names_everything() -> None:
    """No role that we write holds a `*` resource or a wildcard action."""
    for name, role in properties("AWS::IAM::Role").items():
        for statement in statements(role):
            assert "*" not in listed(statement["Resource"]), name
            assert not [action for action in listed(statement["Action"]) if "*" in action], name
            assert statement["Effect"] == "Allow", name


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
                    assert re.fullmatch(r"\$\{(In|Out)putBucket\.Arn\}/t/\*.*", resource["Fn::Sub"])


def test_each_role_writes_to_its_own_log_group() -> None:
    """A function cannot write to the log of another function."""
    for name, role in properties("AWS::IAM::Role").items():
        groups = [listed(s["Resource"]) for s in statements(role) if "logs:PutLogEvents" in listed(s["Action"])]
        expected = [[{"Fn::GetAtt": [name.replace("Role", "LogGroup"), "Arn"]}]]
        assert groups == ([] if name == "ApiAccountRoleResource" else expected)


def test_infer_may_do_nothing_but_log_and_trace() -> None:
    """The role of infer reaches no table, bucket or queue."""
    granted = {action for s in statements(properties("AWS::IAM::Role")["InferRole"]) for action in listed(s["Action"])}
    assert granted == {"logs:CreateLogStream", "logs:PutLogEvents"}


def test_every_method_asks_for_a_signature_unless_open() -> None:
    """Every method of the API accepts only signed requests, unless IsOpen is true."""
    (api,) = properties("AWS::ApiGateway::RestApi").values()
    for path in api["Body"]["paths"].values():
        for method in path.values():
            assert method["security"] == {"Fn::If": ["IsOpen", [], [{"sigv4": []}]]}


@pytest.mark.parametrize(
    ("auth", "environment", "account"),
    list(itertools.product(["iam", "none"], ["cloud", "local"], [REAL_ACCOUNT, "000000000000", "AWS::AccountId"])),
)
def test_the_api_is_open_on_the_emulator_alone(auth: str, environment: str, account: str) -> None:
    """No combination of parameters opens the API in a real account."""
    given = {"Auth": auth, "Environment": environment, "AWS::AccountId": account}
    emulated = account != REAL_ACCOUNT
    assert condition("IsOpen", given) is (auth == "none" and environment == "local" and emulated)
    assert condition("IsCloud", given) is not (environment == "local" and emulated)


def test_a_rule_refuses_an_open_api_on_the_cloud() -> None:
    """CloudFormation refuses Auth=none with the default environment before it creates anything, and says why."""
    (rule,) = templates()["source"]["Rules"].values()
    (assertion,) = rule["Assertions"]
    assert not holds(assertion["Assert"], {"Auth": "none", "Environment": "cloud"})
    assert holds(assertion["Assert"], {"Auth": "iam", "Environment": "cloud"})
    assert holds(assertion["Assert"], {"Auth": "none", "Environment": "local"})
    assert "expected Auth=iam" in assertion["AssertDescription"]
    parameters = templates()["source"]["Parameters"]
    assert (parameters["Auth"]["Default"], parameters["Environment"]["Default"]) == ("iam", "cloud")


def test_an_exemption_from_the_linter_stands_beside_its_reason() -> None:
    """Every linter check that we ignore has a comment that says why."""
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    ignored = templates()["source"]["Metadata"]["cfn-lint"]["config"]["ignore_checks"]
    for check in ignored:
        assert re.search(rf"- {check} # \w+ .{{20,}}", text), check


def test_webhooks_are_called_from_where_nothing_else_can_be_reached() -> None:
    """Notify reads only table items and its own queue. On the cloud it calls only public addresses, outside any VPC."""
    granted = {action for s in statements(properties("AWS::IAM::Role")["NotifyRole"]) for action in listed(s["Action"])}
    assert {action for action in granted if not action.startswith(("logs:", "sqs:"))} == {"dynamodb:GetItem"}
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
    wanted = {
        "InferFunction": {"GLOSSA_STACK", "GLOSSA_AUTH", "GLOSSA_REPLICA_URL", "PYTHAINLP_READ_ONLY"},
        "JobsFunction": {"GLOSSA_AUTH", "GLOSSA_WEBHOOK_REACH", *batch},
        "PlanFunction": batch,
        "WorkFunction": {"GLOSSA_REPLICA_URL", "PYTHAINLP_READ_ONLY", *batch},
        "FinalizeFunction": batch,
        "SweepFunction": batch,
        "NotifyFunction": {"GLOSSA_STACK", "GLOSSA_JOBS_TABLE", "GLOSSA_NOTIFY_QUEUE_URL", "GLOSSA_WEBHOOK_REACH"},
    }
    assert {function: _environment(function) for function in wanted} == wanted
