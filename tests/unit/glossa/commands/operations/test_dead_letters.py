"""`glossa dead-letters` on moto: what is listed, what is sent again, and what stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result
from moto import mock_aws

from functions.jobs.state.queue_messages import QueueMessage
from functions.jobs.steps.announce import JOB_ENDED
from glossa.cli import main
from glossa.commands.operations import dead_letters
from glossa.commands.operations.dead_letter_queue import STEPS, QueuePair, names_of, replay
from shared.errors import NotFound
from tests.unit.functions.jobs.world import EVENTS

REGION, STACK, JOB = "eu-central-1", "glossa", "0" * 32
SHARD = "00000001-0123456789ab"
WORK = QueueMessage("work", "local", JOB, SHARD).encode()
END = json.dumps({
    "source": "glossa", "detail-type": JOB_ENDED, "detail": {"tenant": "local", "job": JOB, "generation": 2},
})  # fmt: skip


class Stacks:
    """A client of CloudFormation that lists the queues on moto as those of one stack."""

    def __init__(self, urls: dict[str, str]) -> None:
        self._urls = urls

    def get_paginator(self, _operation: str) -> Stacks:
        """Return what makes pages."""
        return self

    def paginate(self, StackName: str) -> list[dict[str, Any]]:  # noqa: N803 - boto3's name
        """Return one page for each resource; another stack has one resource of its own."""
        urls = self._urls if StackName == STACK else {"Other": "x"}
        named = [{"LogicalResourceId": name, "PhysicalResourceId": each} for name, each in urls.items()]
        return [{"StackResourceSummaries": [each]} for each in named]


class Hurried:
    """A client of SQS that does not wait for messages."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        """Pass on."""
        return getattr(self._real, name)

    def receive_message(self, **how: Any) -> Any:
        """Receive what is there."""
        return self._real.receive_message(**how | {"WaitTimeSeconds": 0})


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Make all queues on moto; yield a client of SQS."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("sqs")
        for step in map(str.title, STEPS):
            dead = client.create_queue(QueueName=f"{step}DeadLetterQueue")["QueueUrl"]
            arn = client.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
            policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 10})
            client.create_queue(QueueName=f"{step}Queue", Attributes={"RedrivePolicy": policy})
        yield client


def url(sqs: Any, name: str) -> str:
    """Return the address of a queue."""
    return str(sqs.get_queue_url(QueueName=name)["QueueUrl"])


def taken(sqs: Any, name: str) -> list[dict[str, Any]]:
    """Receive everything from a queue of the stack."""
    everything: list[dict[str, Any]] = []
    how = {"MessageSystemAttributeNames": ["All"], "MessageAttributeNames": ["All"], "MaxNumberOfMessages": 10}
    while found := sqs.receive_message(QueueUrl=url(sqs, name), **how).get("Messages"):
        everything += found
    return everything


def opened(service: str) -> Any:
    """Return a client of a service."""
    if service == "sqs":
        return Hurried(boto3.client(service))
    return Stacks({each.rsplit("/", 1)[-1]: each for each in boto3.client("sqs").list_queues()["QueueUrls"]})


def run(*words: str) -> Result:
    """Run the command as a person would."""
    result = CliRunner().invoke(dead_letters.dead_letters_group, list(words), standalone_mode=False, obj=opened)
    if result.exception:
        raise result.exception
    return result


def test_replayed_twice_is_replayed_once(sqs: Any) -> None:
    """A message goes back with body, group and attributes, and leaves its queue. A second replay does nothing."""
    attributes = {
        "RULE_ARN": {"DataType": "String", "StringValue": "arn"},
        "RAW": {"DataType": "Binary", "BinaryValue": b"x"},
    }
    dead = url(sqs, "WorkDeadLetterQueue")
    sqs.send_message(QueueUrl=dead, MessageBody=WORK, MessageGroupId="local-3", MessageAttributes=attributes)
    first = run("replay", "--stack", STACK, "--step", "work")
    second = run("replay", "--stack", STACK, "--step", "work")
    assert (first.stdout, first.return_value) == ("work: 1 message replayed\n", 0)
    assert (second.stdout, second.return_value) == ("work: 0 messages replayed\n", 0)
    [message] = taken(sqs, "WorkQueue")
    assert message["Body"] == WORK
    assert message["Attributes"]["MessageGroupId"] == "local-3"
    assert {name: each["DataType"] for name, each in message["MessageAttributes"].items()} == {
        "RULE_ARN": "String", "RAW": "Binary",
    }  # fmt: skip
    assert taken(sqs, "WorkDeadLetterQueue") == []


def test_more_messages_than_one_call_takes_are_replayed_up_to_the_limit(sqs: Any) -> None:
    """The limit holds for each queue, and progress is told on standard error."""
    for _ in range(25):
        sqs.send_message(QueueUrl=url(sqs, "WorkDeadLetterQueue"), MessageBody=WORK)
    result = run("replay", "--stack", STACK, "--step", "work", "--limit", "23")
    assert result.stdout == "work: 23 messages replayed\n"
    assert [line.split()[-2] for line in result.stderr.splitlines()] == ["10", "20", "23"]
    assert (len(taken(sqs, "WorkQueue")), len(taken(sqs, "WorkDeadLetterQueue"))) == (23, 2)


def test_a_message_that_is_not_ours_stays(sqs: Any) -> None:
    """It is neither sent nor deleted, can be received at once, and the exit code is 1."""
    for body in ("foreign", WORK, QueueMessage("plan", "local", JOB).encode()):
        sqs.send_message(QueueUrl=url(sqs, "WorkDeadLetterQueue"), MessageBody=body)
    result = run("replay", "--stack", STACK)
    assert result.return_value == 1
    assert "work: 1 message replayed, 2 not ours, 0 refused" in result.stdout.splitlines()
    assert len(taken(sqs, "WorkDeadLetterQueue")) == 2


def test_a_message_too_large_to_be_ours_holds_no_other_back(sqs: Any) -> None:
    """Messages of a step are small. Forged ones would fill a call to SQS, which refuses more than 1 MiB."""
    large = {"X": {"DataType": "String", "StringValue": "x" * 200_000}}
    for body, attributes in ((json.dumps(json.loads(WORK) | {"x": "x" * 200_000}), {}), (WORK, large), (WORK, {})):
        sqs.send_message(QueueUrl=url(sqs, "WorkDeadLetterQueue"), MessageBody=body, MessageAttributes=attributes)
    result = run("replay", "--stack", STACK, "--step", "work")
    assert result.stdout == "work: 1 message replayed, 2 not ours, 0 refused\n"


def test_listing_and_a_dry_run_change_nothing(sqs: Any) -> None:
    """Both name what is there, without bodies, and leave every message in its queue."""
    sqs.send_message(QueueUrl=url(sqs, "NotifyDeadLetterQueue"), MessageBody=END)
    sqs.send_message(QueueUrl=url(sqs, "WorkDeadLetterQueue"), MessageBody="canary")
    for _ in range(2):
        lines = [json.loads(line) for line in run("list", "--stack", STACK).stdout.splitlines()]
        assert [(line["step"], line["ours"], line.get("job")) for line in lines] == [
            ("work", False, None),
            ("notify", True, JOB),
        ]
        assert "canary" not in json.dumps(lines)
    dry = run("replay", "--stack", STACK, "--dry-run")
    assert dry.return_value == 1
    assert "notify: 1 message would be replayed" in dry.stdout
    assert len(taken(sqs, "NotifyDeadLetterQueue") + taken(sqs, "WorkDeadLetterQueue")) == 2
    assert taken(sqs, "NotifyQueue") == []


def test_one_queue_can_be_named(sqs: Any) -> None:
    """The queue that a dead-letter queue belongs to is found by asking SQS."""
    dead = url(sqs, "FinalizeDeadLetterQueue")
    sqs.send_message(QueueUrl=dead, MessageBody=QueueMessage("finalize", "local", JOB).encode())
    assert run("replay", "--queue", dead, "--step", "finalize").stdout == "finalize: 1 message replayed\n"
    assert len(taken(sqs, "FinalizeQueue")) == 1


@pytest.mark.parametrize(
    ("words", "wrong"),
    [(["list"], "expected one of them"), (["list", "--stack", "s", "--queue", "u"], "expected one of them"),
     (["list", "--queue", "u"], "expected one --step"),
     (["replay", "--queue", "http://localhost/nosuch", "--step", "plan"], "AWS refused")],
)  # fmt: skip
@pytest.mark.usefixtures("sqs")
def test_wrong_options_are_said_in_one_line(words: list[str], wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and what was expected. Errors of AWS are no traceback."""
    assert main(["dead-letters", *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert wrong in lines[0]


@pytest.mark.usefixtures("sqs")
def test_another_stack_is_refused() -> None:
    """A stack without our queues is named, with what it lacks."""
    with pytest.raises(NotFound, match="'other' without PlanDeadLetterQueue, PlanQueue, Work"):
        run("list", "--stack", "other")


def test_what_a_step_would_refuse_is_not_ours() -> None:
    """Each step knows its own messages, and no others."""
    created = json.loads((EVENTS / "eventbridge_created.json").read_text(encoding="utf-8"))
    created["detail"]["object"]["key"] = "t/acme/inbox/topics/secret name.txt"
    assert names_of("plan", json.dumps(created)) == {"tenant": "acme"}
    assert names_of("work", WORK) == {"tenant": "local", "job": JOB, "shard": SHARD}
    assert names_of("notify", END) == {"tenant": "local", "job": JOB, "generation": "2"}
    foreign = created | {"detail": created["detail"] | {"object": {"key": "other/x", "size": 1}}}
    for step in STEPS:
        for body in ("", "[]", "{}", "[" * 100_000, json.dumps(foreign), '{"glossa": "other"}'):
            assert names_of(step, body) is None


class Refusing(Hurried):
    """A client of SQS that takes only the first message of each send, and deletes nothing in its first call."""

    def __init__(self, real: Any) -> None:
        super().__init__(real)
        self.n_deletes = 0

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> Any:  # noqa: N803 - boto3's names
        """Send the first."""
        return self._real.send_message_batch(QueueUrl=QueueUrl, Entries=Entries[:1])

    def delete_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> Any:  # noqa: N803 - boto3's names
        """Delete from the second call on."""
        self.n_deletes += 1
        return self._real.delete_message_batch(QueueUrl=QueueUrl, Entries=Entries) if self.n_deletes > 1 else {}


def test_nothing_is_lost_when_sqs_refuses(sqs: Any) -> None:
    """What was not taken, or was taken and not deleted, is still in the dead-letter queue, and counted as refused."""
    pair = QueuePair("work", url(sqs, "WorkDeadLetterQueue"), url(sqs, "WorkQueue"))
    for _ in range(3):
        sqs.send_message(QueueUrl=pair.dead_url, MessageBody=WORK)
    outcome = replay(Refusing(sqs), pair, 10, lambda _: None)
    assert (outcome.replayed, outcome.refused) == (0, 3)
    assert len(taken(sqs, "WorkQueue")) == 1
    left = sqs.get_queue_attributes(QueueUrl=pair.dead_url, AttributeNames=["All"])["Attributes"]
    assert int(left["ApproximateNumberOfMessages"]) + int(left["ApproximateNumberOfMessagesNotVisible"]) == 3
