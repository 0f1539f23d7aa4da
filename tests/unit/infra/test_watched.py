"""What nobody watches has no alarm that looks healthy; canary and budget follow the environment that they belong to."""

from __future__ import annotations

from typing import Any

import yaml

from tests.gates.manifests import FOLDER, KNOWN, read
from tests.unit.infra.alarms import alarms, metrics_of
from tests.unit.infra.stacks import INFRA, resources, stack, text

FILLED = {  # the variables of infra/metrics/collector.yaml, as the manifest fills them
    "${env:RAY_METRICS_NAME}": "glossa-metrics.glossa.svc.cluster.local",
    "${env:SERVICE_STACK_NAME}": "${NamePrefix}-service",
    "${env:LOG_GROUP}": "${CollectorLogGroupName}",
    "${env:AWS_REGION}": "${Region}",
}
MANIFEST = (FOLDER / "collector.yaml").read_text(encoding="utf-8")
PARTS: dict[str, Any] = {one["kind"]: one for one in read(MANIFEST)}
FROM_REPLICAS = {"replica_starts", "replicas_missing"}


def unwatched(made: dict[str, Any], names: set[str]) -> list[str]:
    """Return the alarms on metrics of replicas that exist although nothing brings those metrics."""
    return [
        name
        for name, alarm in made.items()
        if {used.name for used in metrics_of(alarm["Properties"])} & names
        and alarm.get("Condition") != "WatchesReplicas"
    ]


def test_an_alarm_on_replicas_exists_where_a_collector_runs() -> None:
    """Without a collector it would look healthy and watch nothing. The stack that runs one says so."""
    made = resources(stack("observability"), "AWS::CloudWatch::Alarm")
    assert unwatched(made, FROM_REPLICAS) == []
    assert stack("observability")["Conditions"]["WatchesReplicas"] == {"Fn::Equals": [{"Ref": "ReplicaMetrics"}, "yes"]}
    said = {name: stack(name)["Outputs"]["ReplicaMetrics"]["Value"] for name in ("cluster", "instances")}
    assert said == {"cluster": "yes", "instances": "no"}


def test_an_alarm_that_would_watch_nothing_is_found() -> None:
    """Negative case: an alarm on a metric of replicas without the condition."""
    metric = {"Namespace": "Glossa", "MetricName": "replica_starts"}
    assert unwatched({"A": {"Properties": metric}}, FROM_REPLICAS) == ["A"]
    assert unwatched({"A": {"Properties": metric, "Condition": "WatchesReplicas"}}, FROM_REPLICAS) == []


def test_metrics_that_stop_are_an_alarm() -> None:
    """When no value of any size class arrives, one alarm goes off, and treats missing data as breaching."""
    alarm = alarms()["ReplicaMetricsMissing"]
    assert alarm["TreatMissingData"] == alarms()["NoHealthyHost"]["TreatMissingData"] == "breaching"
    sizes = {dict(used.dimensions)["size_class"] for used in metrics_of(alarm)}
    assert sizes == {"base", "large", "xl"}
    assert {part["MetricStat"]["Stat"] for part in alarm["Metrics"][1:]} == {"SampleCount"}


def test_the_load_balancer_is_watched_where_a_template_made_it() -> None:
    """Its alarms exist when the stack of the model servers gives the names of its metrics."""
    made = resources(stack("observability"), "AWS::CloudWatch::Alarm")
    watching = {
        name for name, alarm in made.items() if metrics_of(alarm["Properties"])[0].namespace == "AWS/ApplicationELB"
    }
    assert watching == {name for name, alarm in made.items() if alarm.get("Condition") == "HasLoadBalancer"}
    assert watching == {"NoHealthyHost", "UnhealthyHosts", "LoadBalancerFaults"}
    assert {"LoadBalancerFullName", "TargetGroupFullName"} <= set(stack("instances")["Outputs"])


def test_the_canary_reserves_as_the_functions_do() -> None:
    """An account with a low limit deploys with Concurrency=shared, and then the canary reserves nothing either."""
    canary = stack("observability")["Resources"]["CanaryFunction"]["Properties"]
    assert canary["ReservedConcurrentExecutions"] == {"Fn::If": ["ReservesConcurrency", 1, {"Ref": "AWS::NoValue"}]}
    assert stack("service")["Outputs"]["Concurrency"]["Value"] == {"Ref": "Concurrency"}
    values = [stack(name)["Parameters"]["Concurrency"]["AllowedValues"] for name in ("service", "observability")]
    assert values[0] == values[1]


def test_the_budget_counts_one_environment() -> None:
    """Two environments of one account have a budget each. Machines and load balancer carry the tag that it counts."""
    budget = stack("observability")["Resources"]["Budget"]["Properties"]["Budget"]
    tags = {one["Tags"]["Key"]: text(one["Tags"]["Values"][0]) for one in budget["FilterExpression"]["And"]}
    assert tags == {"service": "glossa", "environment": "${EnvironmentName}"}
    nodes = [one for one in read((FOLDER / "nodes.yaml").read_text("utf-8")) if one["kind"] == "NodeClass"]
    (params,) = [
        one for one in read((FOLDER / "load-balancer.yaml").read_text("utf-8")) if one["kind"] == "IngressClassParams"
    ]
    wanted = {"service": "glossa", "environment": KNOWN["EnvironmentName"]}
    assert [one["spec"]["tags"] for one in nodes] == [wanted] * len(nodes)
    assert {one["key"]: one["value"] for one in params["spec"]["tags"]} == wanted


def test_the_collector_runs_the_configuration_of_the_page() -> None:
    """The ConfigMap is infra/metrics/collector.yaml with its variables filled."""
    expected = (INFRA / "metrics/collector.yaml").read_text(encoding="utf-8")
    for variable, value in FILLED.items():
        assert variable in expected
        expected = expected.replace(variable, value)
    raw = next(one for one in yaml.safe_load_all(MANIFEST.replace("${", "$((")) if one["kind"] == "ConfigMap")
    assert raw["data"]["collector.yaml"].replace("$((", "${") == expected
    assert "${env:" not in expected


def test_the_pod_of_the_collector_can_do_little() -> None:
    """It is restricted, takes its image by digest, runs once, and its account has the role of the template."""
    spec = PARTS["Deployment"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert "image: ${CollectorImage}" in MANIFEST
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    identity = stack("cluster")["Resources"]["CollectorIdentity"]["Properties"]
    assert identity["ServiceAccount"] == pod["serviceAccountName"] == PARTS["ServiceAccount"]["metadata"]["name"]
    service = PARTS["Service"]["spec"]
    assert (service["clusterIP"], service["selector"]) == ("None", {"app.kubernetes.io/name": "glossa"})
    assert PARTS["Service"]["metadata"]["name"] in FILLED["${env:RAY_METRICS_NAME}"]
