"""Makes each function of a running stack do everything that it ever does on AWS, so that its calls can be recorded.

What a crash or a lost message would cause is made by changing items and queues from outside, as the owner of the
account. Must not know what is recorded, or how.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from functions.replica.transport import Reply
from local import deploy
from local.client import LocalApiError
from tests.loopback import serving
from tests.stack.conftest import RunningStack

WAIT_S = 60.0
ENDED = {"SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED"}
SPEC = {"task": "text-classification", "model": "mini:topic"}
ROWS = b'{"text": "The team won."}\n{"no-text": 1}\n'
QUEUES = ("PlanQueue", "WorkQueue", "FinalizeQueue", "NotifyQueue")
DUE = {"gsi1sk": "00000000000001/past"}  # sweep looks at it now
STALLED = {**DUE, "settled_ms": 0, "started_ms": 0, "redriven_ms": 0}  # a job of which no shard has ended for long
TIRED = {**DUE, "gsi1pk": "due/00", "state": "LEASED", "strikes": 4, "attempt": 1, "lease_until_ms": 1}  # a shard


def wait_for(what: Callable[[], Any]) -> Any:
    """Return what a function returns as soon as it is true. Raises TimeoutError after 60 s."""
    ends_at = time.monotonic() + WAIT_S
    while time.monotonic() < ends_at:
        if found := what():
            return found
        time.sleep(0.2)
    raise TimeoutError(f"{what.__qualname__} did not become true in {WAIT_S:.0f} s")


@dataclass(frozen=True)
class Everything:
    """The things to be done, on one running stack."""

    running: RunningStack

    def run(self) -> None:
        """Do everything, one thing after the other."""
        self.running.api.post("/v1/text-classification", {"inputs": "The team won.", "model": SPEC["model"]})
        self.recipes()
        self.inbox()
        job = self.job(["rows.jsonl.gz"], webhook=True)
        self.read(job)
        self.redrive(job)
        self.same_token()
        self.prefix()
        self.malformed_messages()
        self.cancelled_messages()
        self.lost_messages()
        self.written_before()
        self.delete(job)

    # ---- what callers do

    def recipes(self) -> None:
        """Make, list and remove a recipe, and make one that stays."""
        for name in ("calls", "gone"):
            self.running.api.post("/v1/recipes", {"name": name, "format": {"text": "lines"}, **SPEC})
        assert self.running.api.get("/v1/recipes").body["recipes"]
        self._delete("/v1/recipes/gone")

    def inbox(self) -> None:
        """Put an object into an inbox and wait for its job."""
        known = self._ids()
        bucket, key = self.running.stack.input_bucket, "t/local/inbox/calls/x.txt"
        self.running.client("s3").put_object(Bucket=bucket, Key=key, Body=b"One.\nTwo.\n")
        (job,) = wait_for(lambda: self._ids() - known)
        self._ended(job)

    def job(self, files: list[str], *, webhook: bool = False) -> str:
        """Upload files, run a job over them, and wait for its end and its webhook; return its id."""
        seen: list[Any] = []

        def receive(sent: Any) -> Reply:
            seen.append(sent)
            return Reply(204)

        with serving(receive) as (address, _):
            hook = {"webhook": {"url": f"{address}/ended", "secret": "a-secret-of-the-tests"}} if webhook else {}
            job = self.started(files, **hook)
            self._ended(job)
            wait_for(lambda: seen or not webhook)
        return job

    def started(self, files: list[str], **more: Any) -> str:
        """Upload files and start a job over them; return its id."""
        made = self.running.api.post("/v1/jobs", {"files": files, **SPEC, **more}).body
        for name, upload in zip(files, made["uploads"], strict=True):
            self.running.api.upload(upload, name, gzip.compress(ROWS) if name.endswith(".gz") else ROWS)
        self.running.api.post(made["start"])
        return str(made["job"])

    def read(self, job: str) -> None:
        """Read the results and the errors of a job."""
        results = self.running.api.get(f"/v1/jobs/{job}/results").body
        for link in (results["manifest"]["url"], *(part["url"] for part in results["parts"])):
            assert self.running.api.fetch(link)
        assert self.running.api.get(f"/v1/jobs/{job}/errors").body

    def redrive(self, job: str) -> None:
        """Run the failed records of a job again."""
        self.running.api.post(f"/v1/jobs/{job}/redrive")
        self._ended(job)

    def same_token(self) -> None:
        """Use one Idempotency-Key for two different jobs. The second is refused, and its webhook is removed."""
        hook = {"url": "http://127.0.0.1:9/ended", "secret": "a-secret-of-the-tests"}
        body, token = {"files": ["a.jsonl"], "webhook": hook, **SPEC}, {"idempotency-key": "every-call"}
        self.running.api.post("/v1/jobs", body, token)
        with pytest.raises(LocalApiError):
            self.running.api.post("/v1/jobs", {**body, "output": "csv"}, token)

    def prefix(self) -> None:
        """Run a job over objects that were there before, and one over a prefix without objects."""
        bucket, key = self.running.stack.input_bucket, "t/local/data/set/x.jsonl"
        self.running.client("s3").put_object(Bucket=bucket, Key=key, Body=ROWS)
        for prefix in ("set/", "nothing/"):
            made = self.running.api.post("/v1/jobs", {"prefix": prefix, **SPEC}).body
            self.running.api.post(made["start"])
            self._ended(made["job"])

    def delete(self, job: str) -> None:
        """Remove a job, and wait until its items and objects are gone."""
        self._delete(f"/v1/jobs/{job}")
        s3, prefix = self.running.client("s3"), f"t/local/jobs/{job}/"
        buckets = (self.running.stack.input_bucket, self.running.stack.output_bucket)
        wait_for(lambda: not any(s3.list_objects_v2(Bucket=b, Prefix=prefix).get("Contents") for b in buckets))
        wait_for(lambda: not self._shards(job))

    # ---- what crashes and lost messages do

    def malformed_messages(self) -> None:
        """Send each queue a message that no step understands, and wait until it was given back."""
        for name in QUEUES:
            self.running.client("sqs").send_message(QueueUrl=self._queue(name), MessageBody="not JSON")
        for name in QUEUES:
            self._until_received(name)

    def cancelled_messages(self) -> None:
        """Cancel a job while its shards wait, so that work discards their messages and returns those of others."""
        with self._paused("WorkFunction"):
            cancelled = self.started([f"a{n}.jsonl" for n in range(12)])
            other = self.started([f"b{n}.jsonl" for n in range(3)])
            for job in (cancelled, other):
                self._in_state(job, {"RUNNING"})
            self.running.api.post(f"/v1/jobs/{cancelled}/cancel")
        self._ended(cancelled)
        self._ended(other)

    def lost_messages(self) -> None:
        """Lose the messages of a job in each state, and let sweep find it. One of its shards has used up its tries."""
        with self._paused("WorkFunction"):
            with self._paused("PlanFunction"):
                waiting = self.started(["d.jsonl"])
                self._empty("PlanQueue")
                self._change(waiting, "job", STALLED)
                self._sweep()
            self._in_state(waiting, {"RUNNING"})
            self._empty("WorkQueue")
            self._change(waiting, "job", STALLED)
            self._sweep()
            for shard in self._shards(waiting):
                self._change(waiting, shard["sk"]["S"], TIRED)
            self._sweep()
        self._ended(waiting)

    def written_before(self) -> None:
        """Let work, sweep and finalize find the object that they are about to write."""
        with self._paused("WorkFunction"):
            given_up, lost = self.started(["e.jsonl"]), self.started(["f.jsonl"])
            for job in (given_up, lost):
                self._in_state(job, {"RUNNING"})
                self._put_results(job)
            self._empty("WorkQueue")
            self._change(given_up, self._shards(given_up)[0]["sk"]["S"], TIRED)
            self._change(lost, "job", STALLED)
            self._sweep()
        self._ended(given_up)
        self._ended(lost)

    # ---- how it is done

    def _put_results(self, job: str) -> None:
        s3, bucket, base = self.running.client("s3"), self.running.stack.output_bucket, f"t/local/jobs/{job}"
        for shard in self._shards(job):
            counts = {"ok": shard["n_records"]["N"], "failed": "0"}
            part = f"{base}/parts/{shard['sk']['S'].removeprefix('shard/')}.jsonl"
            s3.put_object(Bucket=bucket, Key=part, Body=b"{}\n", Metadata=counts, IfNoneMatch="*")
        s3.put_object(Bucket=bucket, Key=f"{base}/manifest.json", Body=b"{}", IfNoneMatch="*")

    def _shards(self, job: str) -> list[Any]:
        found = self.running.client("dynamodb").query(
            TableName=self.running.stack.table, KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
            ExpressionAttributeValues={":pk": {"S": f"t/local/jobs/{job}"}, ":sk": {"S": "shard/"}},
        )  # fmt: skip
        return list(found["Items"])

    def _change(self, job: str, sk: str, values: dict[str, Any]) -> None:
        names = {f"#{i}": name for i, name in enumerate(values)}
        given = {f":{i}": {"N" if isinstance(v, int) else "S": str(v)} for i, v in enumerate(values.values())}
        self.running.client("dynamodb").update_item(
            TableName=self.running.stack.table, Key={"pk": {"S": f"t/local/jobs/{job}"}, "sk": {"S": sk}},
            UpdateExpression="SET " + ", ".join(f"#{i} = :{i}" for i in range(len(values))),
            ExpressionAttributeNames=names, ExpressionAttributeValues=given,
        )  # fmt: skip

    def _sweep(self) -> None:
        answer = self.running.client("lambda").invoke(FunctionName=self._physical("SweepFunction"), Payload=b"{}")
        assert "FunctionError" not in answer, answer["Payload"].read()

    @contextmanager
    def _paused(self, function: str) -> Iterator[None]:
        client = self.running.client("lambda")
        (source,) = client.list_event_source_mappings(FunctionName=self._physical(function))["EventSourceMappings"]
        client.update_event_source_mapping(UUID=source["UUID"], Enabled=False)
        try:
            yield
        finally:
            client.update_event_source_mapping(UUID=source["UUID"], Enabled=True)

    def _until_received(self, queue: str) -> None:
        sqs, url, waiting = self.running.client("sqs"), self._queue(queue), "ApproximateNumberOfMessages"
        wait_for(lambda: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[waiting])["Attributes"][waiting] == "0")

    def _empty(self, queue: str) -> None:
        sqs, url = self.running.client("sqs"), self._queue(queue)
        while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def _queue(self, name: str) -> str:
        return str(
            self.running.client("sqs").get_queue_url(QueueName=self._physical(name).rsplit("/", 1)[-1])["QueueUrl"]
        )

    def _physical(self, logical_id: str) -> str:
        found = self.running.client("cloudformation").describe_stack_resource(
            StackName=deploy.STACK, LogicalResourceId=logical_id
        )
        return str(found["StackResourceDetail"]["PhysicalResourceId"])

    def _delete(self, path: str) -> None:
        api = self.running.api
        reply = api.pool.request("DELETE", api.base_url.rstrip("/") + path, timeout=WAIT_S)
        assert reply.status < 300, json.loads(reply.data)

    def _ids(self) -> set[str]:
        return {job["job"] for job in self.running.api.get("/v1/jobs").body["jobs"]}

    def _ended(self, job: str) -> None:
        self._in_state(job, ENDED)

    def _in_state(self, job: str, states: set[str]) -> None:
        wait_for(lambda: self.running.api.get(f"/v1/jobs/{job}").body["state"] in states)
