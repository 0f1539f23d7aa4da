"""Checks the queues, buckets, table and events of template.yaml, in the form to which SAM expands it."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from functions.jobs.steps.announce import JOB_ENDED
from functions.jobs.storage.contracts import EVENT_SOURCE
from tests.unit.template import listed, properties, resources, target, templates

QUEUES = ("PlanQueue", "WorkQueue", "FinalizeQueue", "NotifyQueue")
TIME_VISIBLE = 6
BUCKETS = {  # and the parameter that says how long each keeps its objects
    "InputBucket": "DocumentRetentionDays",
    "OutputBucket": "DocumentRetentionDays",
    "AccessLogBucket": "LogRetentionDays",
}
OURS = {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}


def test_a_message_hides_six_times_as_long_as_its_function_may_run() -> None:
    """A queue hides a message for at least six times the timeout of its function, so no second call takes it."""
    functions, queues = properties("AWS::Lambda::Function"), properties("AWS::SQS::Queue")
    sources = properties("AWS::Lambda::EventSourceMapping").values()
    assert sorted(target(source["EventSourceArn"]) for source in sources) == sorted(QUEUES)
    for source in sources:
        timeout_s = functions[target(source["FunctionName"])]["Timeout"]
        assert queues[target(source["EventSourceArn"])]["VisibilityTimeout"] >= TIME_VISIBLE * timeout_s


def test_a_failed_message_fails_alone() -> None:
    """Every function with a queue takes one message at a time and reports whether it failed."""
    for source in properties("AWS::Lambda::EventSourceMapping").values():
        assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert source["BatchSize"] == 1


def test_batch_work_passes_a_gate() -> None:
    """On the cloud a parameter of at least 2 limits how many shards run at once."""
    sources = properties("AWS::Lambda::EventSourceMapping").values()
    (source,) = [s for s in sources if target(s["EventSourceArn"]) == "WorkQueue"]
    assert source["ScalingConfig"] == {"MaximumConcurrency": {"Fn::If": ["IsCloud", {"Ref": "WorkConcurrency"}, 2]}}
    assert templates()["source"]["Parameters"]["WorkConcurrency"]["MinValue"] == 2


def test_each_queue_has_a_dead_letter_queue() -> None:
    """A message that keeps failing stays in the dead-letter queue for 14 days, where somebody can look at it."""
    queues = properties("AWS::SQS::Queue")
    dead = {name: target(queues[name]["RedrivePolicy"]["deadLetterTargetArn"]) for name in QUEUES}
    assert dead == {name: name.replace("Queue", "DeadLetterQueue") for name in QUEUES}
    assert set(queues) == {*QUEUES, *dead.values()}
    assert {queues[name]["MessageRetentionPeriod"] for name in dead.values()} == {14 * 86_400}


def test_refusals_do_not_use_up_a_shard() -> None:
    """A work message may come back at least 100 times, because each refusal by a replica uses up one receive."""
    assert properties("AWS::SQS::Queue")["WorkQueue"]["RedrivePolicy"]["maxReceiveCount"] >= 100


@pytest.mark.parametrize("kind", ["AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy"])
def test_queues_and_buckets_refuse_unencrypted_transport(kind: str) -> None:
    """Each queue and bucket has a policy that denies every request without TLS."""
    owned = "AWS::SQS::Queue" if kind.startswith("AWS::SQS") else "AWS::S3::Bucket"
    refused = []
    for policy in properties(kind).values():
        denials = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]
        assert {"Bool": {"aws:SecureTransport": "false"}} in [d["Condition"] for d in denials]
        refused += [target(each) for each in listed(policy.get("Queues", policy.get("Bucket")))]
    assert sorted(refused) == sorted(resources(owned))


@pytest.mark.parametrize("name", BUCKETS)
def test_buckets_are_private_versioned_and_forget(name: str) -> None:
    """Buckets block all public access, keep versions, and delete documents after the retention period."""
    bucket = properties("AWS::S3::Bucket")[name]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["ExpirationInDays"] == {"Ref": BUCKETS[name]}
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


def test_the_table_has_the_keys_the_code_writes() -> None:
    """The table has the keys pk and sk and an index over gsi1pk and gsi1sk.

    Items expire at expires_at. The table can be restored to a point in time, and is billed per request.
    """
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
    """CloudFormation keeps the buckets, the table and their key when it deletes or replaces the stack."""
    kept = {**resources("AWS::S3::Bucket"), **resources("AWS::DynamoDB::Table"), **resources("AWS::KMS::Key")}
    assert {r["DeletionPolicy"] for r in kept.values()} == {"RetainExceptOnCreate"}
    assert {r["UpdateReplacePolicy"] for r in kept.values()} == {"Retain"}


def test_tables_refuse_to_be_deleted_on_the_cloud() -> None:
    """Nobody deletes a table by mistake: its deletion protection has to be switched off first."""
    for table in properties("AWS::DynamoDB::Table").values():
        assert table["DeletionProtectionEnabled"] == {"Fn::If": ["IsCloud", True, False]}


def test_results_cannot_be_overwritten() -> None:
    """The output bucket denies every write below the jobs that does not ask for a key that is free."""
    written = properties("AWS::S3::BucketPolicy")["OutputBucketPolicy"]["PolicyDocument"]["Statement"]
    (denied,) = [s for s in written if s.get("Sid") == "RefuseOverwriting"]
    assert (denied["Effect"], denied["Principal"], denied["Action"]) == ("Deny", "*", "s3:PutObject")
    assert denied["Condition"] == {"Null": {"s3:if-none-match": "true"}}
    assert denied["Resource"] == {"Fn::Sub": "${OutputBucket.Arn}/t/*/jobs/*"}


def test_who_reads_and_writes_documents_is_logged() -> None:
    """S3 logs each access to documents and results. Only S3 may write there, for our buckets and our account."""
    for name in ("InputBucket", "OutputBucket"):
        logging = properties("AWS::S3::Bucket")[name]["LoggingConfiguration"]
        assert target(logging["DestinationBucketName"]) == "AccessLogBucket"
    written = properties("AWS::S3::BucketPolicy")["AccessLogBucketPolicy"]["PolicyDocument"]["Statement"]
    (grant,) = [s for s in written if s["Effect"] == "Allow"]
    assert (grant["Principal"], grant["Action"]) == ({"Service": "logging.s3.amazonaws.com"}, "s3:PutObject")
    assert grant["Condition"]["StringEquals"] == OURS
    assert [target(arn) for arn in grant["Condition"]["ArnLike"]["aws:SourceArn"]] == ["InputBucket", "OutputBucket"]


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
    """The rule matches new objects in the inbox of a tenant. Objects that belong to a job of the API start nothing."""
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
    """An event that cannot reach its queue goes to the dead-letter queue. Only the rule may send to both queues."""
    (aim,) = properties("AWS::Events::Rule")[source]["Targets"]
    assert target(aim["Arn"]) == f"{step}Queue"
    assert target(aim["DeadLetterConfig"]["Arn"]) == f"{step}DeadLetterQueue"
    for policy in (f"{step}QueuePolicy", f"{step}DeadLetterQueuePolicy"):
        written = properties("AWS::SQS::QueuePolicy")[policy]["PolicyDocument"]["Statement"]
        (grant,) = [s for s in written if s["Effect"] == "Allow"]
        arn = {"aws:SourceArn": {"Fn::GetAtt": [source, "Arn"]}}
        assert grant["Condition"] == {"ArnEquals": arn, "StringEquals": OURS}


def test_ends_of_jobs_of_this_stack_alone_reach_its_webhooks() -> None:
    """The rule matches the events that finalize sends, and no event of another stack in the same account."""
    rule = properties("AWS::Events::Rule")["JobEndedRule"]
    pattern = rule["EventPattern"]
    assert rule["EventBusName"] == {"Ref": "JobEventBus"}
    assert rule["Targets"][0]["SqsParameters"] == {"MessageGroupId": "$.detail.tenant"}  # fair between tenants
    assert (pattern["source"], pattern["detail-type"]) == ([EVENT_SOURCE], [JOB_ENDED])
    assert pattern["detail"] == {"bucket": [{"Ref": "OutputBucket"}]}


def test_the_sweeper_comes_every_minute() -> None:
    """A schedule calls sweep every minute, and has the permission to do so."""
    schedule = properties("AWS::Events::Rule")["SweepSchedule"]
    assert schedule["ScheduleExpression"] == "rate(1 minute)"
    assert [target(aim["Arn"]) for aim in schedule["Targets"]] == ["SweepFunction"]
    assert target(properties("AWS::Lambda::Permission")["SweepSchedulePermission"]["SourceArn"]) == "SweepSchedule"
