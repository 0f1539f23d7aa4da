"""Checks the functions and the API of template.yaml, in the form to which SAM expands it.

The queues, the data and the events are checked in test_template_data.py, the rights in test_template_rights.py.
"""

from __future__ import annotations

import re
from typing import Any

from tests.unit.template import condition, properties, resources, target, templates, walk

LAMBDAS = ("Infer", "Jobs", "Plan", "Work", "Finalize", "Sweep", "Notify")
FUNCTIONS = tuple(f"{name}Function" for name in LAMBDAS)
API_TIMEOUT_S = 29


def test_there_are_seven_functions_with_their_handlers() -> None:
    """Each Lambda has a handler in functions/lambdas. It runs on Python 3.13 and the architecture of the parameter."""
    functions = properties("AWS::Lambda::Function")
    assert sorted(functions) == sorted(FUNCTIONS)
    for name in LAMBDAS:
        function = functions[f"{name}Function"]
        assert function["Handler"] == f"functions.lambdas.{name.lower()}.handler"
        assert function["Runtime"] == "python3.13"
        assert function["Architectures"] == [{"Ref": "Architecture"}]


def test_all_functions_share_one_layer() -> None:
    """SAM builds one dependency layer. Every function has this layer and no other."""
    (layer,) = resources("AWS::Lambda::LayerVersion")
    layers = [f["Layers"] for f in properties("AWS::Lambda::Function").values()]
    assert layers == [[{"Ref": layer}]] * len(FUNCTIONS)


def test_packages_are_built_by_make() -> None:
    """functions/Makefile builds the functions and the layer, so the build needs no Lambda runtime."""
    kinds = ("AWS::Serverless::Function", "AWS::Serverless::LayerVersion")
    built = [r for kind in kinds for r in resources(kind, expanded=False).values()]
    assert [r["Metadata"]["BuildMethod"] for r in built] == ["makefile"] * (len(FUNCTIONS) + 1)
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


def test_functions_and_api_are_traced() -> None:
    """Tracing is on for every function and for the stage of the API."""
    assert {f["TracingConfig"]["Mode"] for f in properties("AWS::Lambda::Function").values()} == {"Active"}
    assert [stage["TracingEnabled"] for stage in properties("AWS::ApiGateway::Stage").values()] == [True]


def test_time_runs_downhill_from_the_api_to_the_function() -> None:
    """The API waits 29 s at every method, which is longer than the timeout of the functions behind it."""
    (api,) = properties("AWS::ApiGateway::RestApi").values()
    waits = [
        node["timeoutInMillis"] for node in walk(api["Body"]) if isinstance(node, dict) and "timeoutInMillis" in node
    ]
    methods = sum(len(path) for path in api["Body"]["paths"].values())
    assert waits == [API_TIMEOUT_S * 1000] * methods
    functions = properties("AWS::Lambda::Function")
    assert {functions[name]["Timeout"] for name in ("InferFunction", "JobsFunction")} == {25}


def test_bodies_reach_the_functions_as_they_were_sent() -> None:
    """The API passes bodies of every type in base64. As text it would replace bytes that are not UTF-8 by U+FFFD."""
    (api,) = properties("AWS::ApiGateway::RestApi").values()
    assert api["BinaryMediaTypes"] == ["*/*"]


def test_nothing_but_the_listed_types_hides_from_the_emulator() -> None:
    """Resource types that the emulator lacks would have the condition IsCloud. Today there are none."""
    hidden = {r["Type"] for r in templates()["expanded"]["Resources"].values() if r.get("Condition") == "IsCloud"}
    assert hidden == set()


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
    )
    for kind in taggable:
        for name, found in properties(f"AWS::{kind}").items():
            assert {"Key": "service", "Value": "glossa"} in found["Tags"], name


def test_access_logs_hold_no_words_of_a_request() -> None:
    """The access log holds only these context variables. It holds no query, header, body or address of the caller."""
    (stage,) = properties("AWS::ApiGateway::Stage").values()
    named = set(re.findall(r"\$(?:context|input|stageVariables)[\w.]*", stage["AccessLogSetting"]["Format"]))
    wanted = {
        "requestId", "requestTime", "httpMethod", "path", "status", "responseLength", "responseLatency",
        "integrationLatency", "integrationStatus", "error.responseType", "xrayTraceId",
    }  # fmt: skip
    assert named == {f"$context.{name}" for name in wanted}
    (setting,) = stage["MethodSettings"]
    assert (setting["DataTraceEnabled"], setting["LoggingLevel"]) == (False, "OFF")


def test_the_api_is_throttled() -> None:
    """Parameters set the rate and the burst of the whole stage."""
    (stage,) = properties("AWS::ApiGateway::Stage").values()
    (setting,) = stage["MethodSettings"]
    assert (setting["ResourcePath"], setting["HttpMethod"]) == ("/*", "*")
    assert setting["ThrottlingRateLimit"] == {"Ref": "ThrottleRate"}
    assert setting["ThrottlingBurstLimit"] == {"Ref": "ThrottleBurst"}


def test_each_api_path_leads_to_its_function() -> None:
    """Requests for jobs and recipes go to the jobs function, all others to the published version of infer."""
    (api,) = properties("AWS::ApiGateway::RestApi").values()
    for path, methods in api["Body"]["paths"].items():
        wanted = "JobsFunction.Arn}" if path.startswith(("/v1/jobs", "/v1/recipes")) else "InferFunction.Arn}:live"
        for method in methods.values():
            assert wanted in method["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"], path
    assert set(api["Body"]["paths"]["/{proxy+}"]) == {"get", "post", "put", "patch", "delete"}


def test_infer_starts_from_a_snapshot_of_its_published_version() -> None:
    """SnapStart saves the loaded tokenizers in a snapshot. The API calls the alias of the published version."""
    assert properties("AWS::Lambda::Function")["InferFunction"]["SnapStart"] == {"ApplyOn": "PublishedVersions"}
    assert properties("AWS::Lambda::Alias")["InferFunctionAliaslive"]["Name"] == "live"


def test_a_changed_parameter_publishes_a_new_version_of_infer() -> None:
    """A version keeps its settings, so its description holds the value of every parameter that infer uses."""
    parameters = set(templates()["source"]["Parameters"])
    function = properties("AWS::Lambda::Function")["InferFunction"]
    (version,) = properties("AWS::Lambda::Version").values()
    assert _parameters_of(function) & parameters <= _parameters_of(version["Description"])
    source = templates()["source"]["Resources"]
    assert source["InferFunction"]["Properties"]["AutoPublishAliasAllProperties"] is True
    assert source["DependencyLayer"]["Properties"]["PublishLambdaVersion"] is True


def _parameters_of(value: Any) -> set[str]:
    """Return the names of all references and conditions in a value."""
    nodes = [node for node in walk(value) if isinstance(node, dict)]
    named = {node["Ref"] for node in nodes if "Ref" in node}
    asked = {node["Fn::If"][0] for node in nodes if "Fn::If" in node}
    return named | asked
