"""Checks who may call the API of template.yaml: signatures, Bearer tokens, and the authorizer that reads them."""

from __future__ import annotations

import itertools
import json
import re

import pytest

from tests.unit.template import condition, holds, properties, resources, statements, templates

REAL_ACCOUNT = "123456789012"
WAYS = ("iam", "jwt", "key", "bearer", "none")
PAGES = ("/", "/docs", "/openapi.json", "/page/{proxy+}")


def test_every_method_verifies_its_caller_unless_open() -> None:
    """Every method accepts only signed requests, or only Bearer tokens, unless IsOpen is true, or it shows a page.

    OPTIONS alone accepts everyone when pages of other origins may call, because browsers send no key with it.
    """
    (api,) = properties("AWS::ApiGateway::RestApi").values()
    verified = {"Fn::If": ["IsOpen", [], {"Fn::If": ["TakesBearers", [{"bearer": []}], [{"sigv4": []}]]}]}
    for path, methods in api["Body"]["paths"].items():
        usual = {"Fn::If": ["HasPage", [], verified]} if path in PAGES else verified
        for name, method in methods.items():
            asked = {"Fn::If": ["TakesOrigins", [], verified]}
            assert method["security"] == (asked if name == "options" else usual), f"{name} {path}"


def test_pages_are_shown_only_where_somebody_asked_for_them() -> None:
    """Page is off by default. On, it opens the paths of the pages, to be read alone, and the function is told."""
    parameter = templates()["source"]["Parameters"]["Page"]
    assert (parameter["Default"], parameter["AllowedValues"]) == ("off", ["on", "off"])
    assert [condition("HasPage", {"Page": value}) for value in ("on", "off")] == [True, False]
    (api,) = properties("AWS::ApiGateway::RestApi").values()
    assert all(set(api["Body"]["paths"][path]) == {"get", "head", "options"} for path in PAGES)
    told = properties("AWS::Lambda::Function")["InferFunction"]["Environment"]["Variables"]
    assert told["GLOSSA_PAGE"] == {"Ref": "Page"}
    which, stores, otherwise = told["GLOSSA_PAGE_STORES"]["Fn::If"]
    assert (which, otherwise) == ("HasPage", "")
    assert all(store.startswith("https://${InputBucket}.s3.") for store in stores["Fn::Sub"].split(","))


@pytest.mark.parametrize(
    ("auth", "environment", "account"),
    list(itertools.product(WAYS, ["cloud", "local"], [REAL_ACCOUNT, "000000000000", "AWS::AccountId"])),
)
def test_the_api_is_open_on_the_emulator_alone(auth: str, environment: str, account: str) -> None:
    """No combination of parameters opens the API in a real account."""
    given = {"Auth": auth, "Environment": environment, "AWS::AccountId": account}
    emulated = account != REAL_ACCOUNT
    assert condition("IsOpen", given) is (auth == "none" and environment == "local" and emulated)
    assert condition("IsCloud", given) is not (environment == "local" and emulated)


def test_a_rule_refuses_an_open_api_on_the_cloud() -> None:
    """CloudFormation refuses Auth=none with the default environment before it creates anything, and says why."""
    (assertion,) = templates()["source"]["Rules"]["OpenOnlyOnTheEmulator"]["Assertions"]
    assert not holds(assertion["Assert"], {"Auth": "none", "Environment": "cloud"})
    assert all(holds(assertion["Assert"], {"Auth": auth, "Environment": "cloud"}) for auth in WAYS if auth != "none")
    assert holds(assertion["Assert"], {"Auth": "none", "Environment": "local"})
    assert "expected Auth=iam" in assertion["AssertDescription"]
    parameters = templates()["source"]["Parameters"]
    assert tuple(parameters["Auth"]["AllowedValues"]) == WAYS
    assert (parameters["Auth"]["Default"], parameters["Environment"]["Default"]) == ("iam", "cloud")


@pytest.mark.parametrize(("auth", "fits"), [("jwt", False), ("bearer", False), ("key", True), ("iam", True)])
def test_a_rule_refuses_jwts_without_issuers(auth: str, *, fits: bool) -> None:
    """Without issuers every JWT would be refused, so CloudFormation says so before it creates anything."""
    rule = templates()["source"]["Rules"]["JwtsNeedIssuers"]
    (assertion,) = rule["Assertions"]
    for issuers, allowed in (("", fits), ("[]", True)):
        given = {"Auth": auth, "Issuers": issuers}
        assert (not holds(rule["RuleCondition"], given) or holds(assertion["Assert"], given)) is allowed


@pytest.mark.parametrize(
    ("auth", "keys", "jwts"),
    [("iam", False, False), ("key", True, False), ("jwt", False, True), ("bearer", True, True), ("none", False, False)],
)
def test_each_way_takes_its_own_tokens(auth: str, *, keys: bool, jwts: bool) -> None:
    """With `iam` no Bearer token is taken, and the authorizer is told of keys and issuers only when it takes them."""
    found = {name: condition(name, {"Auth": auth}) for name in ("TakesKeys", "TakesJwts", "TakesBearers")}
    assert found == {"TakesKeys": keys, "TakesJwts": jwts, "TakesBearers": keys or jwts}
    told = properties("AWS::Lambda::Function")["AuthorizeFunction"]["Environment"]["Variables"]
    assert told["GLOSSA_KEYS_TABLE"] == {"Fn::If": ["TakesKeys", {"Ref": "KeysTable"}, ""]}
    assert told["GLOSSA_ISSUERS"] == {"Fn::If": ["TakesJwts", {"Ref": "Issuers"}, ""]}
    known = {"Fn::If": ["IsOpen", "none", {"Fn::If": ["TakesBearers", "bearer", "iam"]}]}
    for name in ("InferFunction", "JobsFunction"):
        assert properties("AWS::Lambda::Function")[name]["Environment"]["Variables"]["GLOSSA_AUTH"] == known


def test_a_revoked_key_stops_within_a_minute() -> None:
    """API Gateway keeps an answer for at most 60 s, for one value of the Authorization header and nothing else."""
    (api,) = properties("AWS::ApiGateway::RestApi").values()
    when, scheme, otherwise = api["Body"]["components"]["securitySchemes"]["bearer"]["Fn::If"]
    assert (when, otherwise) == ("TakesBearers", {"Ref": "AWS::NoValue"})
    authorizer = scheme["x-amazon-apigateway-authorizer"]
    assert (authorizer["type"], authorizer["identitySource"]) == ("token", "method.request.header.Authorization")
    assert 0 < authorizer["authorizerResultTtlInSeconds"] <= 60
    pattern = authorizer["identityValidationExpression"]
    assert re.fullmatch(pattern, f"Bearer glossa_{'0' * 16}_{'A' * 43}")
    wrong = ("Basic YTpiYWFhYWFhYWFhYWFhYWFh", "Bearer ", "Bearer a b", "")
    assert not [header for header in wrong if re.fullmatch(pattern, header)]


def test_who_is_not_verified_gets_problem_details() -> None:
    """A missing or wrong token is a 401 that names the scheme, a missing scope a 403, and a failure of ours a 503."""
    (api,) = properties("AWS::ApiGateway::RestApi").values()
    answers = api["Body"]["x-amazon-apigateway-gateway-responses"]
    wanted = {"UNAUTHORIZED": 401, "ACCESS_DENIED": 403}
    wanted |= {"AUTHORIZER_FAILURE": 503, "AUTHORIZER_CONFIGURATION_ERROR": 503}
    for name, status in wanted.items():
        text = answers[name]["responseTemplates"]["application/json"]
        problem = json.loads(text.replace("$context.error.messageString", '"said"'))
        assert (int(answers[name]["statusCode"]), problem["status"]) == (status, status)
        assert problem["type"] == f"urn:glossa:error:{problem['code']}"
    for headers in answers["UNAUTHORIZED"]["responseParameters"]["Fn::If"][1:]:
        assert headers["gatewayresponse.header.WWW-Authenticate"] == "'Bearer'"


def test_the_authorizer_reads_one_key_and_nothing_else() -> None:
    """Its role can read single items of the table of keys. API Gateway alone may invoke it. It is in no VPC."""
    role = statements(properties("AWS::IAM::Role")["AuthorizeRole"])
    (reads,) = [s for s in role if "dynamodb" in str(s["Action"])]
    assert (reads["Action"], reads["Resource"]) == (["dynamodb:GetItem"], {"Fn::GetAtt": ["KeysTable", "Arn"]})
    permission = properties("AWS::Lambda::Permission")["AuthorizePermission"]
    assert permission["Principal"] == "apigateway.amazonaws.com"
    assert permission["SourceArn"]["Fn::Sub"].endswith(":${Api}/authorizers/*")
    assert "VpcConfig" not in properties("AWS::Lambda::Function")["AuthorizeFunction"]


def test_the_authorizer_exists_only_for_bearer_tokens() -> None:
    """Without Bearer tokens there is no authorizer. The table of keys is always there, so that no change loses keys."""
    every = templates()["expanded"]["Resources"]
    found = {name for name, resource in every.items() if resource.get("Condition") == "TakesBearers"}
    (layer,) = (name for name in found if name.startswith("AuthorizerLayer"))
    assert found - {layer} == {f"Authorize{kind}" for kind in ("Function", "Permission", "Role", "LogGroup")}
    table = resources("AWS::DynamoDB::Table")["KeysTable"]
    assert "Condition" not in table
    assert table["DeletionPolicy"] == "RetainExceptOnCreate"
    assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["Properties"]["SSESpecification"]["SSEEnabled"] is True
    assert table["Properties"]["TimeToLiveSpecification"] == {"AttributeName": "expires_s", "Enabled": True}


def test_a_changed_way_to_authenticate_makes_a_new_deployment() -> None:
    """SAM does not see conditions, and would keep the old deployment. So each update makes a new one."""
    (api,) = resources("AWS::Serverless::Api", expanded=False).values()
    assert api["Properties"]["AlwaysDeploy"] is True
