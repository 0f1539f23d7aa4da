"""What template.yaml promises about time, queues, data and wiring, read from its expanded form."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Any

import pytest

from functions.jobs.steps.announce import JOB_ENDED
from functions.jobs.storage.eventbridge import SOURCE
from tests.unit.template import condition, listed, properties, resources, target, templates, walk

DOORS = ("Infer", "Jobs", "Plan", "Work", "Finalize", "Sweep", "Notify")
FUNCTIONS = tuple(f"{door}Function" for door in DOORS)
QUEUES = ("PlanQueue", "WorkQueue", "FinalizeQueue", "NotifyQueue")
API_TIMEOUT_S = 29
TIME_VISIBLE = 6


def test_there_are_seven_functions_with_their_handlers() -> None:
    """Each door is one function, run by the handler of its folder, on Python 3.13 and the parameter's architecture."""
    functions = properties("AWS::Lambda::Function")
    assert sorted(functions) == sorted(FUNCTIONS)
    for door in DOORS:
        function = functions[f"{door}Function"]
        assert function["Handler"] == f"functions.{door.lower()}.handler.handler"
        assert function["Runtime"] == "python3.13"
        assert function["Architectures"] == [{"Ref": "Architecture"}]


def test_all_functions_share_one_layer() -> None:
    """One dependency layer is built, and every function has it and no other."""
    (layer,) = resources("AWS::Lambda::LayerVersion")
    layers = [f["Layers"] for f in properties("AWS::Lambda::Function").values()]
    assert layers == [[{"Ref": layer}]] * len(FUNCTIONS)


def test_packages_are_built_by_make() -> None:
    """Functions and layer are built by functions/Makefile, so that no interpreter of the runtime is needed."""
    kinds = ("AWS::Serverless::Function", "AWS::Serverless::LayerVersion")
    built = [r for kind in kinds for r in resources(kind, expanded=False).values()]
    assert [r["Metadata"]["BuildMethod"] for r in built] == ["makefile"] * (len(FUNCTIONS) + 1)
    assert {r["Properties"].get("CodeUri", r["Properties"].get("ContentUri")) for r in built} <= {"functions/", None}
    assert templates()["source"]["Globals"]["Function"]["CodeUri"] == "functions/"


def test_each_function_has_a_role_of_its_own() -> None:
    """No two functions share a role, and a role can be taken by Lambda alone."""
    roles = [target(f["Role"]) for f in properties("AWS::Lambda::Function").values()]
    assert len(set(roles)) == len(FUNCTIONS)
    for role in roles:
        (statement,) = properties("AWS::IAM::Role")[role]["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}


def test_each_function_logs_json_to_a_group_that_forgets() -> None:
    """Each function has a log group of its own with a retention, and writes JSON to it."""
    groups = properties("AWS::Logs::LogGroup")
    used = []
    for function in properties("AWS::Lambda::Function").values():
        assert function["LoggingConfig"]["LogFormat"] == "JSON"
        used.append(target(function["LoggingConfig"]["LogGroup"]))
    assert len(set(used)) == len(FUNCTIONS)
    assert set(groups) == {*used, "ApiLogGroup"}
    assert all(group["RetentionInDays"] == {"Ref": "LogRetentionDays"} for group in groups.values())


def test_functions_and_api_are_traced() -> None:
    """Tracing is on for every function and the API's stage."""
    assert {f["TracingConfig"]["Mode"] for f in properties("AWS::Lambda::Function").values()} == {"Active"}
    assert [stage["TracingEnabled"] for stage in properties("AWS::ApiGateway::Stage").values()] == [True]


def test_time_runs_downhill_from_the_api_to_the_function() -> None:
    """The API waits 29 s at every method, longer than the functions behind it may take."""
    (api,) = properties("AWS::ApiGateway::RestApi").values()
    waits = [
        node["timeoutInMillis"] for node in walk(api["Body"]) if isinstance(node, dict) and "timeoutInMillis" in node
    ]
    methods = sum(len(path) for path in api["Body"]["paths"].values())
    assert waits == [API_TIMEOUT_S * 1000] * methods
    functions = properties("AWS::Lambda::Function")
    assert {functions[name]["Timeout"] for name in ("InferFunction", "JobsFunction")} == {25}


def test_bodies_reach_the_functions_as_they_were_sent() -> None:
    """The API hands on bodies of every type in base64: as text it would turn bytes that are not UTF-8 into U+FFFD."""
    (api,) = properties("AWS::ApiGateway::RestApi").values()
    assert api["BinaryMediaTypes"] == ["*/*"]


def test_a_message_hides_six_times_as_long_as_its_function_may_run() -> None:
    """A queue shows a message again only when its function is long over: visibility is at least 6 x the timeout."""
    functions, queues = properties("AWS::Lambda::Function"), properties("AWS::SQS::Queue")
    sources = properties("AWS::Lambda::EventSourceMapping").values()
    assert sorted(target(source["EventSourceArn"]) for source in sources) == sorted(QUEUES)
    for source in sources:
        timeout_s = functions[target(source["FunctionName"])]["Timeout"]
        assert queues[target(source["EventSourceArn"])]["VisibilityTimeout"] >= TIME_VISIBLE * timeout_s


def test_a_failed_message_fails_alone() -> None:
    """Every function with a queue reports which messages failed, and takes one at a time."""
    for source in properties("AWS::Lambda::EventSourceMapping").values():
        assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert source["BatchSize"] == 1


def test_batch_work_passes_a_gate() -> None:
    """On the cloud a parameter of at least 2 bounds how many shards run at once."""
    source = next(s for s in properties("AWS::Lambda::EventSourceMapping").values() if "ScalingConfig" in s)
    assert target(source["EventSourceArn"]) == "WorkQueue"
    assert source["ScalingConfig"] == {"MaximumConcurrency": {"Fn::If": ["IsCloud", {"Ref": "WorkConcurrency"}, 2]}}
    assert templates()["source"]["Parameters"]["WorkConcurrency"]["MinValue"] == 2


def test_each_queue_has_a_dead_letter_queue() -> None:
    """A message that keeps failing is kept for 14 days where someone can look at it."""
    queues = properties("AWS::SQS::Queue")
    dead = {name: target(queues[name]["RedrivePolicy"]["deadLetterTargetArn"]) for name in QUEUES}
    assert dead == {name: name.replace("Queue", "DeadLetterQueue") for name in QUEUES}
    assert set(queues) == {*QUEUES, *dead.values()}
    assert {queues[name]["MessageRetentionPeriod"] for name in dead.values()} == {14 * 86_400}


def test_refusals_do_not_use_up_a_shard() -> None:
    """Replicas that refuse send the work message back many times before it counts as dead."""
    assert properties("AWS::SQS::Queue")["WorkQueue"]["RedrivePolicy"]["maxReceiveCount"] >= 100


@pytest.mark.parametrize("kind", ["AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy"])
def test_queues_and_buckets_refuse_unencrypted_transport(kind: str) -> None:
    """Each queue and bucket has a policy that denies everything sent without TLS."""
    owned = "AWS::SQS::Queue" if kind.startswith("AWS::SQS") else "AWS::S3::Bucket"
    refused = []
    for policy in properties(kind).values():
        denials = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]
        assert [d["Condition"] for d in denials] == [{"Bool": {"aws:SecureTransport": "false"}}]
        refused += [target(each) for each in listed(policy.get("Queues", policy.get("Bucket")))]
    assert sorted(refused) == sorted(resources(owned))


def test_queues_and_table_are_encrypted_at_rest() -> None:
    """No queue, bucket or table is without encryption."""
    assert all(queue["SqsManagedSseEnabled"] for queue in properties("AWS::SQS::Queue").values())
    assert all("BucketEncryption" in bucket for bucket in properties("AWS::S3::Bucket").values())
    assert properties("AWS::DynamoDB::Table")["JobsTable"]["SSESpecification"] == {"SSEEnabled": True}


@pytest.mark.parametrize("name", ["InputBucket", "OutputBucket"])
def test_buckets_are_private_versioned_and_forget(name: str) -> None:
    """Buckets block all public access, keep versions, and end what they keep."""
    bucket = properties("AWS::S3::Bucket")[name]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["ExpirationInDays"] == {"Ref": "DocumentRetentionDays"}
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


def test_the_table_has_the_keys_the_code_writes() -> None:
    """One table: pk and sk, one index over gsi1pk and gsi1sk, expiry by expires_at, restorable, paid by use."""
    table = properties("AWS::DynamoDB::Table")["JobsTable"]
    names = [
        [key["AttributeName"] for key in keys]
        for keys in (table["KeySchema"], table["GlobalSecondaryIndexes"][0]["KeySchema"])
    ]
    assert names == [["pk", "sk"], ["gsi1pk", "gsi1sk"]]
    assert table["GlobalSecondaryIndexes"][0]["IndexName"] == "gsi1"
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_data_outlives_the_stack() -> None:
    """Deleting or replacing the stack never deletes a bucket with documents or the table."""
    kept = {**resources("AWS::S3::Bucket"), **resources("AWS::DynamoDB::Table")}
    assert {r["DeletionPolicy"] for r in kept.values()} == {"RetainExceptOnCreate"}
    assert {r["UpdateReplacePolicy"] for r in kept.values()} == {"Retain"}


@pytest.mark.parametrize(
    ("key", "starts"),
    [
        ("t/acme/inbox/topics/a b+ü%.txt", True),
        ("t/acme/inbox/topics/2026/a.jsonl.gz", True),
        ("t/acme/jobs/j1/input/a.txt", False),
        ("t/acme/jobs/j1/parts/0.jsonl", False),
        ("inbox/a.txt", False),
    ],
)
def test_only_inbox_objects_start_a_job(key: str, *, starts: bool) -> None:
    """The rule takes created objects under a tenant's inbox; what belongs to an API job starts nothing."""
    rule = properties("AWS::Events::Rule")["ObjectCreatedRule"]
    pattern = rule["EventPattern"]
    assert (pattern["source"], pattern["detail-type"]) == (["aws.s3"], ["Object Created"])
    assert pattern["detail"]["bucket"]["name"] == [{"Ref": "InputBucket"}]
    (wanted,) = pattern["detail"]["object"]["key"]
    assert fnmatchcase(key, wanted["wildcard"]) is starts
    assert properties("AWS::S3::Bucket")["InputBucket"]["NotificationConfiguration"] == {
        "EventBridgeConfiguration": {"EventBridgeEnabled": True}
    }


@pytest.mark.parametrize(("source", "step"), [("ObjectCreatedRule", "Plan"), ("JobEndedRule", "Notify")])
def test_a_lost_event_is_kept(source: str, step: str) -> None:
    """An event that cannot reach its queue goes to the dead-letter queue, and the rule alone may send."""
    (aim,) = properties("AWS::Events::Rule")[source]["Targets"]
    assert target(aim["Arn"]) == f"{step}Queue"
    assert target(aim["DeadLetterConfig"]["Arn"]) == f"{step}DeadLetterQueue"
    for policy in (f"{step}QueuePolicy", f"{step}DeadLetterQueuePolicy"):
        written = properties("AWS::SQS::QueuePolicy")[policy]["PolicyDocument"]["Statement"]
        (grant,) = [s for s in written if s["Effect"] == "Allow"]
        assert grant["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": [source, "Arn"]}}}


def test_ends_of_jobs_of_this_stack_alone_reach_its_webhooks() -> None:
    """The rule takes the events that finalize sends, and of two stacks in an account only its own."""
    pattern = properties("AWS::Events::Rule")["JobEndedRule"]["EventPattern"]
    assert (pattern["source"], pattern["detail-type"]) == ([SOURCE], [JOB_ENDED])
    assert pattern["detail"] == {"bucket": [{"Ref": "OutputBucket"}]}


def test_the_sweeper_comes_every_minute() -> None:
    """A schedule calls the sweeper each minute, and may."""
    schedule = properties("AWS::Events::Rule")["SweepSchedule"]
    assert schedule["ScheduleExpression"] == "rate(1 minute)"
    assert [target(aim["Arn"]) for aim in schedule["Targets"]] == ["SweepFunction"]
    assert target(properties("AWS::Lambda::Permission")["SweepSchedulePermission"]["SourceArn"]) == "SweepSchedule"


def test_nothing_but_the_listed_types_hides_from_the_emulator() -> None:
    """Types the emulator lacks would stand behind IsCloud; today there are none."""
    hidden = {r["Type"] for r in templates()["expanded"]["Resources"].values() if r.get("Condition") == "IsCloud"}
    assert hidden == set()


def test_functions_in_a_vpc_are_those_that_call_a_replica() -> None:
    """Only infer and work need the network of the model servers, and only when subnets are given."""
    inside = {name for name, f in properties("AWS::Lambda::Function").items() if "VpcConfig" in f}
    reach = {name for name, f in properties("AWS::Lambda::Function").items() if "GLOSSA_REPLICA_URL" in str(f)}
    assert inside == reach == {"InferFunction", "WorkFunction"}
    assert not condition("InVpc", {"SubnetIds": [""]})
    assert condition("InVpc", {"SubnetIds": ["subnet-1", "subnet-2"]})


def test_every_taggable_resource_is_tagged() -> None:
    """What costs money or holds data says which service it belongs to."""
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
    """The access log names only these context variables: no query, header, body, caller address."""
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
    """Rate and burst of the whole stage are parameters."""
    (stage,) = properties("AWS::ApiGateway::Stage").values()
    (setting,) = stage["MethodSettings"]
    assert (setting["ResourcePath"], setting["HttpMethod"]) == ("/*", "*")
    assert setting["ThrottlingRateLimit"] == {"Ref": "ThrottleRate"}
    assert setting["ThrottlingBurstLimit"] == {"Ref": "ThrottleBurst"}


def test_each_api_path_leads_to_its_function() -> None:
    """Jobs and recipes go to the jobs function, everything else to infer's published version."""
    (api,) = properties("AWS::ApiGateway::RestApi").values()
    for path, methods in api["Body"]["paths"].items():
        wanted = "JobsFunction.Arn}" if path.startswith(("/v1/jobs", "/v1/recipes")) else "InferFunction.Arn}:live"
        for method in methods.values():
            assert wanted in method["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"], path
    assert set(api["Body"]["paths"]["/{proxy+}"]) == {"get", "post", "put", "patch", "delete"}


def test_infer_starts_from_a_snapshot_of_its_published_version() -> None:
    """SnapStart captures the loaded tokenizers; the API calls the alias of the published version."""
    assert properties("AWS::Lambda::Function")["InferFunction"]["SnapStart"] == {"ApplyOn": "PublishedVersions"}
    assert properties("AWS::Lambda::Alias")["InferFunctionAliaslive"]["Name"] == "live"


def test_a_changed_parameter_publishes_a_new_version_of_infer() -> None:
    """A version keeps what it was published with, so its description names every parameter that infer is made of."""
    parameters = set(templates()["source"]["Parameters"])
    function = properties("AWS::Lambda::Function")["InferFunction"]
    (version,) = properties("AWS::Lambda::Version").values()
    assert _parameters_of(function) & parameters <= _parameters_of(version["Description"])
    source = templates()["source"]["Resources"]
    assert source["InferFunction"]["Properties"]["AutoPublishAliasAllProperties"] is True
    assert source["DependencyLayer"]["Properties"]["PublishLambdaVersion"] is True


def _parameters_of(value: Any) -> set[str]:
    """Return every name that a value refers to, through the conditions it asks as well."""
    nodes = [node for node in walk(value) if isinstance(node, dict)]
    named = {node["Ref"] for node in nodes if "Ref" in node}
    asked = {node["Fn::If"][0] for node in nodes if "Fn::If" in node}
    return named | asked
