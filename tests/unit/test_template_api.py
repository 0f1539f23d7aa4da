"""Checks the API of template.yaml: its paths, limits and logs, and who can reach it."""

from __future__ import annotations

import re

import pytest

from tests.unit.template import condition, holds, properties, resources, templates, walk

API_TIMEOUT_S = 29


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
    every = {"get", "head", "options", "post", "put", "patch", "delete"}
    assert set(api["Body"]["paths"]["/{proxy+}"]) == every
    for methods in api["Body"]["paths"].values():
        assert "options" in methods
        assert ("get" in methods) is ("head" in methods)


def test_the_api_waits_for_the_role_of_its_access_logs() -> None:
    """A reference orders the API after the account's settings, but only if this stack makes them."""
    (api,) = resources("AWS::ApiGateway::RestApi").values()
    assert api["Metadata"]["After"] == {"Fn::If": ["SetsApiAccountRole", {"Ref": "ApiAccount"}, "existing"]}
    assert resources("AWS::ApiGateway::Account")["ApiAccount"]["Condition"] == "SetsApiAccountRole"


def test_a_web_acl_is_attached_when_one_is_given() -> None:
    """WebAclArn attaches a web ACL to the stage of the API. Without it there is none."""
    (found,) = resources("AWS::WAFv2::WebACLAssociation").values()
    assert found["Condition"] == "HasWebAcl"
    assert not condition("HasWebAcl", {"WebAclArn": ""})
    assert condition("HasWebAcl", {"WebAclArn": "arn:aws:wafv2:us-east-1:123456789012:regional/webacl/a/b"})
    assert found["Properties"]["WebACLArn"] == {"Ref": "WebAclArn"}
    assert "stages/${ApiliveStage}" in found["Properties"]["ResourceArn"]["Fn::Sub"]


def test_a_list_of_endpoints_shuts_all_others_out() -> None:
    """With VpcEndpointIds, the policy of the API denies every call that does not come through one of them."""
    (api,) = properties("AWS::ApiGateway::RestApi").values()
    which, policy, otherwise = api["Body"]["x-amazon-apigateway-policy"]["Fn::If"]
    assert (which, otherwise) == ("HasEndpoints", {"Ref": "AWS::NoValue"})
    (denied,) = [s for s in policy["Statement"] if s["Effect"] == "Deny"]
    assert denied["Condition"] == {"StringNotEquals": {"aws:SourceVpce": {"Ref": "VpcEndpointIds"}}}
    assert (denied["Action"], denied["Principal"]) == ("execute-api:Invoke", "*")
    assert not condition("HasEndpoints", {"VpcEndpointIds": [""]})
    assert condition("HasEndpoints", {"VpcEndpointIds": ["vpce-1"]})


@pytest.mark.parametrize(("ids", "accepted"), [([""], False), (["vpce-1", "vpce-2"], True)])
def test_a_private_api_has_a_way_in(ids: list[str], *, accepted: bool) -> None:
    """CloudFormation refuses a private API without endpoints before it creates anything."""
    rule = templates()["source"]["Rules"]["PrivateOnlyWithEndpoints"]
    assert holds(rule["RuleCondition"], {"ApiEndpoint": "PRIVATE"})
    assert not holds(rule["RuleCondition"], {"ApiEndpoint": "REGIONAL"})
    (assertion,) = rule["Assertions"]
    assert holds(assertion["Assert"], {"VpcEndpointIds": ids}) is accepted
