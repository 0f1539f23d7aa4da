"""A new version of infer: with Canary=true CodeDeploy moves requests to it step by step, and goes back by alarms."""

from __future__ import annotations

from typing import Any

from tests.unit.infra.alarms import RUNBOOK
from tests.unit.template import ROOT, holds, properties, statements, templates

CANARY = '{"Canary": "true"}'
ONLY_THEN = {
    "SmokeFunction", "SmokeRole", "SmokeLogGroup", "DeploymentRole", "NewVersionErrors", "NewVersionFaults",
}  # fmt: skip


def _codedeploy(given: str) -> dict[str, Any]:
    expanded = templates(given)["expanded"]["Resources"]
    return {name: made for name, made in expanded.items() if made["Type"].startswith("AWS::CodeDeploy::")}


def test_without_canary_there_is_no_codedeploy() -> None:
    """By default, and so on the emulator, the expanded template has no resource of CodeDeploy."""
    assert _codedeploy("{}") == {}
    assert "UpdatePolicy" not in templates()["expanded"]["Resources"]["InferFunctionAliaslive"]
    found = {name for name, made in templates()["source"]["Resources"].items() if made.get("Condition") == "IsCanary"}
    assert found == ONLY_THEN


def test_with_canary_a_new_version_gets_requests_step_by_step() -> None:
    """CodeDeploy gives it one request of ten for five minutes, after smoke, and goes back when an alarm goes off."""
    made = _codedeploy(CANARY)
    assert sorted(each["Type"].rsplit("::", 1)[-1] for each in made.values()) == ["Application", "DeploymentGroup"]
    (group,) = (each["Properties"] for each in made.values() if each["Type"].endswith("DeploymentGroup"))
    assert "CodeDeployDefault.Lambda${ConfigName}" in str(group["DeploymentConfigName"])
    assert "Canary10Percent5Minutes" in str(group["DeploymentConfigName"])
    assert group["ServiceRoleArn"] == {"Fn::GetAtt": ["DeploymentRole", "Arn"]}
    assert group["AlarmConfiguration"]["Enabled"] is True
    watched = [each["Name"]["Ref"] for each in group["AlarmConfiguration"]["Alarms"]]
    assert sorted(watched) == ["NewVersionErrors", "NewVersionFaults"]
    assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
    alias = templates(CANARY)["expanded"]["Resources"]["InferFunctionAliaslive"]
    update = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
    assert update["BeforeAllowTrafficHook"] == {"Ref": "SmokeFunction"}


def test_its_alarms_have_reasons_and_pages() -> None:
    """Each alarm says why it exists, and names a page that exists."""
    found = {name: alarm for name, alarm in properties("AWS::CloudWatch::Alarm").items() if name in ONLY_THEN}
    assert len(found) == 2
    for alarm in found.values():
        (runbook,) = RUNBOOK.findall(alarm["AlarmDescription"])
        assert (ROOT / runbook).is_file()


def test_the_emulator_cannot_have_one() -> None:
    """A rule refuses Canary=true with Environment=local, before anything is created."""
    rule = templates()["source"]["Rules"]["CanaryNeedsTheCloud"]
    assert holds(rule["RuleCondition"], {"Canary": "true"})
    assert not holds(rule["RuleCondition"], {"Canary": "false"})
    assert holds(rule["Assertions"][0]["Assert"], {"Environment": "cloud"})
    assert not holds(rule["Assertions"][0]["Assert"], {"Environment": "local"})


def test_codedeploy_may_move_one_alias_and_run_smoke() -> None:
    """Its role changes infer alone, and runs smoke alone."""
    allowed = statements(properties("AWS::IAM::Role")["DeploymentRole"])
    resources = {action: s["Resource"] for s in allowed for action in s["Action"]}
    assert resources["lambda:InvokeFunction"] == {"Fn::GetAtt": ["SmokeFunction", "Arn"]}
    assert "InferFunction" in str(resources["lambda:UpdateAlias"])
    assert [action for action, resource in resources.items() if resource == "*"] == ["cloudwatch:DescribeAlarms"]
