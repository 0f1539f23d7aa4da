"""Checks what template.yaml gives to browsers and to clients that join addresses: origins, and a name of your own."""

from __future__ import annotations

import re

import pytest

from functions.http.cors import ORIGIN
from tests.unit.template import condition, holds, properties, resources, templates

GIVEN = {"DomainName": "nlp.example.com", "DomainHostedZoneId": "Z0123456789ABC", "CorsOrigins": ["https://a.example"]}
EMPTY = {"DomainName": "", "DomainHostedZoneId": "", "CorsOrigins": [""]}


@pytest.mark.parametrize("name", ["TakesOrigins", "HasDomain", "WritesAddress"])
def test_nothing_of_it_is_there_unless_asked_for(name: str) -> None:
    """By default no page of another origin may call, and there is no name besides that of API Gateway."""
    assert not condition(name, EMPTY)
    assert condition(name, GIVEN)


@pytest.mark.parametrize(
    ("origin", "taken"),
    [
        ("https://app.example.com", True),
        ("https://app.example.com:8443", True),
        ("http://localhost:3000", True),
        ("http://127.0.0.1", True),
        ("*", False),
        ("https://*.example.com", False),
        ("http://app.example.com", False),
        ("https://app.example.com/", False),
        ("null", False),
        ("", True),
    ],
)
def test_an_origin_is_exact(origin: str, *, taken: bool) -> None:
    """Template and functions take the same origins. None has a wildcard or a path; http is for this machine alone."""
    pattern = templates()["source"]["Parameters"]["CorsOrigins"]["AllowedPattern"]
    assert bool(re.search(pattern, origin)) is taken
    assert bool(ORIGIN.fullmatch(origin)) is (taken and origin != "")


def test_functions_get_the_origins() -> None:
    """Both functions behind the API have them, and a change publishes a new version of infer."""
    told = {"Fn::Join": [",", {"Ref": "CorsOrigins"}]}
    for name in ("InferFunction", "JobsFunction"):
        assert properties("AWS::Lambda::Function")[name]["Environment"]["Variables"]["GLOSSA_CORS_ORIGINS"] == told
    (version,) = properties("AWS::AppConfig::HostedConfigurationVersion").values()
    assert told in version["Content"]["Fn::Join"][1]


def test_every_error_of_the_gateway_can_be_read_by_a_page() -> None:
    """With origins, each gateway response names the first one. Without, none has such a header."""
    (api,) = properties("AWS::ApiGateway::RestApi").values()
    answers = api["Body"]["x-amazon-apigateway-gateway-responses"]
    assert {"DEFAULT_4XX", "DEFAULT_5XX"} < set(answers)
    for name, answer in answers.items():
        asked = answer if "Fn::If" in answer else answer["responseParameters"]
        which, listed, otherwise = asked["Fn::If"]
        headers = listed.get("responseParameters", listed)
        assert which == "TakesOrigins", name
        first = ["'${First}'", {"First": {"Fn::Select": [0, {"Ref": "CorsOrigins"}]}}]
        assert headers["gatewayresponse.header.Access-Control-Allow-Origin"] == {"Fn::Sub": first}
        assert headers["gatewayresponse.header.Vary"] == "'Origin'"
        assert "Access-Control" not in str(otherwise)


@pytest.mark.parametrize(
    ("endpoint", "certificate", "accepted"),
    [("REGIONAL", "arn", True), ("REGIONAL", "", False), ("PRIVATE", "arn", False)],
)
def test_a_name_needs_a_certificate_and_a_public_api(endpoint: str, certificate: str, *, accepted: bool) -> None:
    """CloudFormation says so before it creates anything."""
    rule = templates()["source"]["Rules"]["DomainWithCertificate"]
    given = {"ApiEndpoint": endpoint, "DomainCertificateArn": certificate}
    assert all(holds(each["Assert"], given) for each in rule["Assertions"]) is accepted
    assert not holds(rule["RuleCondition"], EMPTY)
    assert holds(rule["RuleCondition"], GIVEN)


@pytest.mark.parametrize(
    ("certificate", "zone", "accepted"), [("", "", True), ("arn", "", False), ("", "Z1", False), ("arn", "Z1", False)]
)
def test_what_is_for_a_name_needs_one(certificate: str, zone: str, *, accepted: bool) -> None:
    """A certificate or a zone without a name would have no effect, so it is refused."""
    rule = templates()["source"]["Rules"]["NoDomainWithoutName"]
    given = {"DomainCertificateArn": certificate, "DomainHostedZoneId": zone}
    assert all(holds(each["Assert"], given) for each in rule["Assertions"]) is accepted
    assert holds(rule["RuleCondition"], EMPTY)
    assert not holds(rule["RuleCondition"], GIVEN)


def test_a_name_stands_for_the_root_of_the_stage() -> None:
    """It has no base path: the functions would see it before each route."""
    (mapping,) = resources("AWS::ApiGateway::BasePathMapping").values()
    wanted = {"DomainName": {"Ref": "Domain"}, "RestApiId": {"Ref": "Api"}, "Stage": {"Ref": "ApiliveStage"}}
    assert (mapping["Condition"], mapping["Properties"]) == ("HasDomain", wanted)
    (record,) = resources("AWS::Route53::RecordSet").values()
    assert record["Condition"] == "WritesAddress"
    assert record["Properties"]["AliasTarget"]["DNSName"] == {"Fn::GetAtt": ["Domain", "RegionalDomainName"]}
    (domain,) = properties("AWS::ApiGateway::DomainName").values()
    assert domain["RegionalCertificateArn"] == {"Ref": "DomainCertificateArn"}
