"""Alarms and dashboards: each has a reason, an action, a runbook, and metrics that somebody emits."""

from __future__ import annotations

import re

import pytest

from shared.metrics import DIMENSIONS, METRICS, NAMESPACE
from tests.unit.infra.alarms import RUNBOOK, Used, alarms, dashboards, metrics_of, on_dashboards
from tests.unit.infra.stacks import resources, stack, text
from tests.unit.template import ROOT

# What AWS publishes, and under which dimensions. Read on 2026-11-29 in the pages below docs.aws.amazon.com:
# /lambda/latest/dg/monitoring-metrics-types.html
# /apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
# /AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
# /amazondynamodb/latest/developerguide/metrics-dimensions.html
# /elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
PUBLISHED_BY_AWS = {
    "AWS/Lambda": ({"Errors", "Throttles", "Duration", "ConcurrentExecutions"}, {("FunctionName",), ()}),
    "AWS/ApiGateway": ({"5XXError", "Count", "Latency"}, {("ApiName", "Stage")}),
    "AWS/SQS": ({"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"}, {("QueueName",)}),
    "AWS/ApplicationELB": (
        {
            "HealthyHostCount",
            "UnHealthyHostCount",
            "HTTPCode_ELB_5XX_Count",
            "HTTPCode_Target_5XX_Count",
            "RequestCount",
        },
        {("LoadBalancer",), ("LoadBalancer", "TargetGroup")},
    ),
    "AWS/DynamoDB": ({"ReadThrottleEvents", "WriteThrottleEvents"}, {("TableName",)}),
}
ALARMS = sorted(alarms())
FUNCTIONS = ("Infer", "Jobs", "Plan", "Work", "Finalize", "Sweep", "Notify")
QUEUES = ("Plan", "Work", "Finalize", "Notify")
MIN_REASON_CHARS = 60


def is_emitted(used: Used) -> bool:
    """Whether a metric of an alarm or a dashboard exists, under these dimensions."""
    if used.namespace != NAMESPACE:
        names, dimensions = PUBLISHED_BY_AWS.get(used.namespace, (set(), set()))
        return used.name in names and used.keys in dimensions
    metric = METRICS.get(used.name)
    if metric is None or used.keys not in {tuple(sorted(names)) for names in metric.dimension_sets}:
        return False
    return all(
        value in ("*", "${ServiceStackName}") if name == "stack" else value == "*" or DIMENSIONS[name].fullmatch(value)
        for name, value in used.dimensions
    )


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_has_a_reason_a_runbook_and_an_action(name: str) -> None:
    """The description says why the alarm exists, and names a page that exists. The topic hears of it and its end."""
    alarm = alarms()[name]
    description = alarm["AlarmDescription"]
    (runbook,) = RUNBOOK.findall(description)
    assert len(description) - len(runbook) >= MIN_REASON_CHARS
    assert len(description) <= 1024
    assert (ROOT / runbook).is_file()
    assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "AlarmTopic"}]
    assert alarm["TreatMissingData"] in {"breaching", "notBreaching"}


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_uses_metrics_that_somebody_emits(name: str) -> None:
    """AWS publishes the metric, or the registry has it, under exactly these dimensions."""
    for used in metrics_of(alarms()[name]):
        assert is_emitted(used), used


@pytest.mark.parametrize(
    "used",
    [
        Used("Glossa", "counter_drifts", (("stack", "${ServiceStackName}"),)),
        Used("Glossa", "counter_drift", ()),
        Used("Glossa", "counter_drift", (("stack", "glossa"),)),
        Used("Glossa", "replicas_missing", (("size_class", "huge"), ("stack", "${ServiceStackName}"))),
        Used("glossa", "counter_drift", (("stack", "${ServiceStackName}"),)),
        Used("AWS/SQS", "ApproximateAgeOfOldestMessage", (("Queue", "x"),)),
        Used("AWS/SQS", "AgeOfOldestMessage", (("QueueName", "x"),)),
    ],
)
def test_a_metric_that_nobody_emits_is_found(used: Used) -> None:
    """A wrong name, namespace, dimension or value of one is no metric that anybody emits."""
    assert not is_emitted(used)


def test_every_queue_and_every_function_is_watched() -> None:
    """Each queue has an alarm on its age, each dead-letter queue on its messages, each function on what can fail."""
    used = {name: metrics_of(alarm) for name, alarm in alarms().items()}
    watched = {(each.name, value) for found in used.values() for each in found for _, value in each.dimensions}
    for queue in QUEUES:
        assert ("ApproximateAgeOfOldestMessage", f"${{{queue}QueueName}}") in watched
        assert ("ApproximateNumberOfMessagesVisible", f"${{{queue}DeadLetterQueueName}}") in watched
    for function in (*FUNCTIONS, "Authorize"):
        for metric in ("Errors", "Duration", "Throttles"):
            assert (metric, f"${{{function}FunctionName}}") in watched, (metric, function)
    service = stack("service")
    assert sorted(resources(service, "AWS::Serverless::Function")) == sorted(
        f"{name}Function"
        for name in (*FUNCTIONS, "Authorize", "Smoke")  # a deployment fails when smoke does, so it has no alarm
    )
    queues = {f"{name}{kind}" for name in QUEUES for kind in ("Queue", "DeadLetterQueue")}
    assert set(resources(service, "AWS::SQS::Queue")) == queues


def test_a_refused_token_is_no_failure_of_the_authorizer() -> None:
    """API Gateway answers 401 to an exception alone, which Lambda counts as an error. The alarm takes those off."""
    total, *parts = alarms()["AuthorizeErrors"]["Metrics"]
    assert total["Expression"] == "FILL(errors, 0) + FILL(throttles, 0) - FILL(refused, 0)"
    metrics = {part["Id"]: part["MetricStat"]["Metric"]["MetricName"] for part in parts}
    assert metrics == {"errors": "Errors", "throttles": "Throttles", "refused": "callers_refused"}
    assert len({(part["MetricStat"]["Period"], part["MetricStat"]["Stat"]) for part in parts}) == 1


def test_the_alarm_on_duration_knows_the_time_outs() -> None:
    """Each function's duration is divided by its own time-out. A hundredth of it in milliseconds gives percent."""
    expression = alarms()["FunctionDuration"]["Metrics"][0]["Expression"]
    tenths = {name: int(value) for name, value in re.findall(r"(\w+) / (\d+)", expression)}
    functions = resources(stack("service"), "AWS::Serverless::Function")
    threshold_ms = alarms()["AuthorizeDuration"]["Threshold"]
    assert threshold_ms == 900 * functions["AuthorizeFunction"]["Properties"]["Timeout"]
    assert tenths == {name.lower(): functions[f"{name}Function"]["Properties"]["Timeout"] * 10 for name in FUNCTIONS}


def test_every_metric_of_ours_is_on_a_dashboard() -> None:
    """Each metric of the registry is shown, and nothing is shown that nobody emits."""
    shown = on_dashboards()
    assert {used.name for used in shown} == set(METRICS)
    assert [used for used in shown if not is_emitted(used)] == []
    assert set(dashboards()) == {"BusinessDashboard", "EngineDashboard"}


def test_the_topic_is_encrypted_and_takes_alarms_of_this_account_alone() -> None:
    """Alarms and budgets of this account may publish, and use the key. Nobody else is named."""
    template = stack("observability")
    (topic,) = resources(template, "AWS::SNS::Topic").values()
    assert topic["Properties"]["KmsMasterKeyId"] == {"Ref": "AlarmKey"}
    (policy,) = resources(template, "AWS::SNS::TopicPolicy").values()
    allow, deny = policy["Properties"]["PolicyDocument"]["Statement"]
    assert set(allow["Principal"]["Service"]) == {"cloudwatch.amazonaws.com", "budgets.amazonaws.com"}
    assert allow["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert deny["Effect"] == "Deny"


def test_the_canary_may_call_one_route_and_nothing_else() -> None:
    """Its role reaches its log, X-Ray, and one method of one path of the API."""
    (role,) = resources(stack("observability"), "AWS::IAM::Role").values()
    plain, with_key = role["Properties"]["Policies"]
    allowed = {text(s["Action"]): text(s["Resource"]) for s in plain["PolicyDocument"]["Statement"]}
    assert allowed["execute-api:Invoke"].endswith(":${ApiId}/live/POST/v1/text-classification")
    assert with_key["Fn::If"][0] == "HasCanaryKey"


def test_parameters_have_the_names_of_outputs() -> None:
    """What only the stack of functions knows has the name of one of its outputs, and every output has a use."""
    outputs = set(stack("service")["Outputs"])
    parameters = stack("observability")["Parameters"]
    from_outputs = {name for name, made in parameters.items() if "Default" not in made}
    others = {"NamePrefix", "MonthlyBudgetUsd", "AccountConcurrency", "EnvironmentName", "ReplicaMetrics"}
    assert from_outputs - outputs == others
    named: set[str] = set()
    body = (ROOT / "infra/observability.yaml").read_text(encoding="utf-8").partition("\nConditions:")[2]
    named |= {name for name in parameters if re.search(rf"\b{name}\b", body)}
    assert named == set(parameters)


def test_an_alarm_looks_at_no_more_than_a_day() -> None:
    """CloudWatch allows at most a day of periods for an alarm."""
    for name, alarm in alarms().items():
        periods = [
            alarm.get("Period"),
            *(m["MetricStat"]["Period"] for m in alarm.get("Metrics", []) if "MetricStat" in m),
        ]
        longest_s = max(period for period in periods if period)
        assert longest_s * alarm["EvaluationPeriods"] <= 86_400, name


def test_every_page_of_operations_is_listed_and_fits_one_screen() -> None:
    """The index names every page. A page says symptom, meaning, what to look at, what to do and how to undo it."""
    folder = ROOT / "docs/operations"
    index = (folder / "README.md").read_text(encoding="utf-8")
    names = {text(alarm["AlarmName"]).removeprefix("${NamePrefix}-") for alarm in alarms().values()}
    assert set(re.findall(r"`([a-z-]+)`", index)) >= names
    for page in sorted(folder.glob("*.md")):
        if page.name != "README.md":
            text_of_page = page.read_text(encoding="utf-8")
            assert f"({page.name})" in index
            assert len(text_of_page.splitlines()) <= 40, page.name
            for part in ("**Symptom.**", "**What it means.**", "## Look at", "## Do", "## Undo"):
                assert part in text_of_page, (page.name, part)
