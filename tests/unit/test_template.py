"""Checks the functions of template.yaml, in the form to which SAM expands it.

Beside this file, test_template_api.py checks the API, test_template_data.py the queues, the data and the events,
test_template_keys.py the encryption, and test_template_rights.py the rights.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.unit.template import condition, properties, resources, target, templates, walk

LAMBDAS = ("Infer", "Smoke", "Authorize", "Jobs", "Plan", "Work", "Finalize", "Sweep", "Notify")
FUNCTIONS = tuple(f"{name}Function" for name in LAMBDAS)
MAX_DESCRIPTION = 256  # characters, of a version
# Reserved concurrency belongs to the function and not to its versions.
KEPT_OUTSIDE_VERSIONS = {"InferConcurrency"}


def test_there_are_nine_functions_with_their_handlers() -> None:
    """Each Lambda has a handler in functions/lambdas. It runs on Python 3.13 and the architecture of the parameter."""
    functions = properties("AWS::Lambda::Function")
    assert sorted(functions) == sorted(FUNCTIONS)
    for name in LAMBDAS:
        function = functions[f"{name}Function"]
        assert function["Handler"] == f"functions.lambdas.{name.lower()}.handler"
        assert function["Runtime"] == "python3.13"
        assert function["Architectures"] == [{"Ref": "Architecture"}]


def test_all_functions_share_one_layer() -> None:
    """Every function has the dependency layer. The authorizer alone has another, so the others stay light."""
    (shared,) = (layer for layer in resources("AWS::Lambda::LayerVersion") if layer.startswith("DependencyLayer"))
    (own,) = (layer for layer in resources("AWS::Lambda::LayerVersion") if layer.startswith("AuthorizerLayer"))
    for name, function in properties("AWS::Lambda::Function").items():
        more = [{"Ref": own}] if name == "AuthorizeFunction" else []
        assert function["Layers"] == [{"Ref": shared}, *more], name


def test_packages_are_built_by_make() -> None:
    """functions/Makefile builds the functions and the layers, so the build needs no Lambda runtime."""
    kinds = ("AWS::Serverless::Function", "AWS::Serverless::LayerVersion")
    built = [r for kind in kinds for r in resources(kind, expanded=False).values()]
    assert [r["Metadata"]["BuildMethod"] for r in built] == ["makefile"] * (len(FUNCTIONS) + 2)
    assert {r["Properties"].get("CodeUri", r["Properties"].get("ContentUri")) for r in built} <= {"functions/", None}
    assert templates()["source"]["Globals"]["Function"]["CodeUri"] == "functions/"


def test_each_function_has_a_role_of_its_own() -> None:
    """No two functions share a role, and only Lambda may assume a role."""
    roles = [target(f["Role"]) for f in properties("AWS::Lambda::Function").values()]
    assert len(set(roles)) == len(FUNCTIONS)
    for role in roles:
        (statement,) = properties("AWS::IAM::Role")[role]["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}


def test_each_function_logs_json_to_a_group_that_forgets() -> None:
    """Each function writes JSON to its own log group, which deletes old logs."""
    groups = properties("AWS::Logs::LogGroup")
    used = []
    for function in properties("AWS::Lambda::Function").values():
        assert function["LoggingConfig"]["LogFormat"] == "JSON"
        used.append(target(function["LoggingConfig"]["LogGroup"]))
    assert len(set(used)) == len(FUNCTIONS)
    assert set(groups) == {*used, "ApiLogGroup"}
    assert all(group["RetentionInDays"] == {"Ref": "LogRetentionDays"} for group in groups.values())


def test_each_function_says_how_much_memory_and_time_it_has() -> None:
    """No function runs with what Lambda gives by default, 128 MB and 3 s."""
    for name, function in properties("AWS::Lambda::Function").items():
        assert function["MemorySize"] >= 256, name
        assert function["Timeout"] >= 10, name


def test_functions_and_api_are_traced() -> None:
    """Tracing is on for every function and for the stage of the API."""
    assert {f["TracingConfig"]["Mode"] for f in properties("AWS::Lambda::Function").values()} == {"Active"}
    assert [stage["TracingEnabled"] for stage in properties("AWS::ApiGateway::Stage").values()] == [True]


# What a local stack never makes, each with the reason.
HIDDEN = {
    "AWS::WAFv2::WebACLAssociation": "the emulator does not know the type; WebAclArn is empty by default",
    "AWS::Events::EventBusPolicy": "the emulator does not know the type, and enforces no policy of a bus",
    "AWS::ApiGateway::DomainName": "DomainName is empty by default; a local stack has no certificate",
    "AWS::ApiGateway::BasePathMapping": "it belongs to DomainName",
    "AWS::Route53::RecordSet": "it belongs to DomainName, and needs a hosted zone",
}
LOCAL = {"AWS::AccountId": "AWS::AccountId", "Auth": "none", "Environment": "local"}


def test_nothing_but_the_listed_types_hides_from_the_emulator() -> None:
    """A condition that is false in a local stack hides only resources of listed types. Every listed type is hidden."""
    parameters = templates()["source"]["Parameters"]
    given = {**{name: p.get("Default", "") for name, p in parameters.items()}, **LOCAL}
    given |= {name: [""] for name, p in parameters.items() if p["Type"] == "CommaDelimitedList"}
    # A local stack takes no Bearer tokens, but tests/stack makes one on the emulator that does.
    given["Auth"] = "key"
    # tests/unit/test_template_canary.py lists what IsCanary hides: the emulator has no CodeDeploy.
    resources = [r for r in templates()["expanded"]["Resources"].values() if r.get("Condition") != "IsCanary"]
    hidden = {r["Type"] for r in resources if "Condition" in r and not condition(r["Condition"], given)}
    assert hidden == set(HIDDEN)


def test_functions_in_a_vpc_are_those_that_call_a_replica() -> None:
    """Only infer and work run in the network of the model servers, and only when subnets are given."""
    inside = {name for name, f in properties("AWS::Lambda::Function").items() if "VpcConfig" in f}
    reach = {name for name, f in properties("AWS::Lambda::Function").items() if "GLOSSA_REPLICA_URL" in str(f)}
    assert inside == reach == {"InferFunction", "WorkFunction"}
    assert not condition("InVpc", {"SubnetIds": [""]})
    assert condition("InVpc", {"SubnetIds": ["subnet-1", "subnet-2"]})


def test_every_taggable_resource_is_tagged() -> None:
    """Every resource that costs money or holds data has a tag with the name of the service."""
    taggable = (
        "Lambda::Function",
        "SQS::Queue",
        "S3::Bucket",
        "DynamoDB::Table",
        "Logs::LogGroup",
        "IAM::Role",
        "Events::Rule",
        "Events::EventBus",
        "KMS::Key",
    )
    for kind in taggable:
        for name, found in properties(f"AWS::{kind}").items():
            assert {"Key": "service", "Value": "glossa"} in found["Tags"], name


def test_infer_starts_from_a_snapshot_of_its_published_version() -> None:
    """SnapStart saves the loaded tokenizers in a snapshot. The API calls the alias of the published version."""
    snapshot = {"ApplyOn": {"Fn::If": ["KeepsReady", "None", "PublishedVersions"]}}
    assert properties("AWS::Lambda::Function")["InferFunction"]["SnapStart"] == snapshot
    assert properties("AWS::Lambda::Alias")["InferFunctionAliaslive"]["Name"] == "live"


def test_runs_of_infer_are_kept_ready_only_when_asked_for() -> None:
    """Lambda keeps as many runs of the alias ready as the parameter says, and none by default."""
    ready = {"ProvisionedConcurrentExecutions": {"Ref": "ProvisionedConcurrency"}}
    alias = properties("AWS::Lambda::Alias")["InferFunctionAliaslive"]
    assert alias["ProvisionedConcurrencyConfig"] == {"Fn::If": ["KeepsReady", ready, {"Ref": "AWS::NoValue"}]}
    real = {"AWS::AccountId": "123456789012", "Environment": "cloud"}
    assert templates()["source"]["Parameters"]["ProvisionedConcurrency"]["Default"] == 0
    assert not condition("KeepsReady", {"ProvisionedConcurrency": "0", **real})
    assert condition("KeepsReady", {"ProvisionedConcurrency": "5", **real})
    assert not condition("KeepsReady", {"ProvisionedConcurrency": "5", **LOCAL})


def test_a_changed_parameter_publishes_a_new_version_of_infer() -> None:
    """A version keeps its settings, so it is replaced when the value of a parameter that infer uses changes.

    The recorded settings hold those values. A new content has a new number, and the description holds the number.
    """
    parameters = set(templates()["source"]["Parameters"]) - KEPT_OUTSIDE_VERSIONS
    function = properties("AWS::Lambda::Function")["InferFunction"]
    (version,) = properties("AWS::Lambda::Version").values()
    (settings,) = properties("AWS::AppConfig::HostedConfigurationVersion").values()
    assert version["Description"] == {"Fn::Sub": "settings ${InferSettingsVersion}"}
    assert _parameters_of(function) & parameters <= _parameters_of(settings["Content"])
    source = templates()["source"]["Resources"]
    assert source["InferFunction"]["Properties"]["AutoPublishAliasAllProperties"] is True
    assert source["DependencyLayer"]["Properties"]["PublishLambdaVersion"] is True


def test_the_description_of_a_version_fits_however_many_subnets_there_are() -> None:
    """The description is a short text with one number. No list of ids is part of it."""
    (version,) = properties("AWS::Lambda::Version").values()
    assert len(version["Description"]["Fn::Sub"]) < MAX_DESCRIPTION // 2


def test_every_function_has_a_share_of_the_concurrency() -> None:
    """Each function reserves concurrency on the cloud unless the account is too small, and 500 stay for the rest."""
    parameters = templates()["source"]["Parameters"]
    reserved = 0
    for name, function in properties("AWS::Lambda::Function").items():
        given = function["ReservedConcurrentExecutions"]["Fn::If"]
        assert given[0] == "ReservesConcurrency", name
        assert given[2] == {"Ref": "AWS::NoValue"}, name
        reserved += given[1] if isinstance(given[1], int) else parameters[given[1]["Ref"]]["Default"]
    assert reserved <= 500  # of the 1,000 that an account has at first; Lambda keeps 100 back in any case
    real = {"AWS::AccountId": "123456789012", "Environment": "cloud"}
    assert condition("ReservesConcurrency", {"Concurrency": "reserved", **real})
    assert not condition("ReservesConcurrency", {"Concurrency": "shared", **real})
    assert not condition("ReservesConcurrency", {"Concurrency": "reserved", **LOCAL})


def test_a_queue_never_offers_more_than_its_function_may_run() -> None:
    """The limit of each queue's poller equals the reserved concurrency. Otherwise refusals would use up receives."""
    functions = properties("AWS::Lambda::Function")
    for source in properties("AWS::Lambda::EventSourceMapping").values():
        reserved = functions[target(source["FunctionName"])]["ReservedConcurrentExecutions"]["Fn::If"][1]
        assert source["ScalingConfig"]["MaximumConcurrency"]["Fn::If"][:2] == ["IsCloud", reserved]


def _parameters_of(value: Any) -> set[str]:
    """Return the names of all references and conditions in a value."""
    nodes = [node for node in walk(value) if isinstance(node, dict)]
    named = {node["Ref"] for node in nodes if "Ref" in node}
    asked = {node["Fn::If"][0] for node in nodes if "Fn::If" in node}
    return named | asked


@pytest.mark.parametrize(
    ("name", "value", "fits"),
    [
        ("ReplicaUrl", "https://replica.internal:8443", True),
        ("ReplicaUrl", "http://127.0.0.1:18001", True),
        ("ReplicaUrl", "http://replica.internal", False),
        ("ReplicaUrl", "http://127.0.0.1.evil.example", False),
        ("ReplicaUrl", "https://replica.internal/path", False),
        ("CallKeysSecretArn", "arn:aws:secretsmanager:eu-central-1:123456789012:secret:call-keys-AbCdEf", True),
        ("CallKeysSecretArn", "", False),
        ("CallKeysSecretArn", "arn:aws:ssm:eu-central-1:123456789012:parameter/x", False),
    ],
)
def test_calls_to_the_model_server_are_encrypted_and_signed(*, name: str, value: str, fits: bool) -> None:
    """CloudFormation refuses an address without TLS beyond one machine, and a stack without the keys of calls."""
    parameter = templates()["source"]["Parameters"][name]
    assert (re.fullmatch(parameter["AllowedPattern"], value) is not None) is fits
    assert "Default" not in parameter
