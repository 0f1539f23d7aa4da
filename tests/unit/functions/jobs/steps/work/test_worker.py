"""The worker: leases, errors that may pass, strikes, and records that fail alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from functions.jobs.records.formats import Problem
from functions.jobs.records.records import Record
from functions.jobs.records.result_rows import encode_given_up
from functions.jobs.state import leases, state_machine
from functions.jobs.state.items import JobSpec
from functions.jobs.steps.commit import row_source
from functions.jobs.steps.sqs_handler import RetryLater, SqsMessage
from functions.jobs.steps.work.answer_records import answer_all
from functions.jobs.steps.work.worker import MAX_SHARD_ANSWER_BYTES
from functions.jobs.storage.in_memory.objects import InMemoryObjects
from functions.messages import Result
from functions.pipeline.request_limits import MAX_TOKEN_VECTORS
from functions.replica.client import ReplicaClient
from functions.replica.fake import FakeTransport, SentRequest
from functions.replica.transport import Reply
from functions.tasks.task import TextRequest
from shared.errors import (
    Conflict,
    DeadlineExceeded,
    GlossaError,
    Overloaded,
    ReplicaError,
    TooLarge,
    Unavailable,
    Unprocessable,
)
from shared.messages import ModelOutput, Tensor
from shared.protocol import CallLimits, decode_call, encode_output
from tests.unit.functions.http.world import pipeline
from tests.unit.functions.jobs.world import LONG_S, World, texts

LINES = [f"text {i}" for i in range(9)]
WIDTH = 256
LIMITS = CallLimits(max_body_bytes=2**24, max_rows=4096, max_tokens=16_384, max_row_tokens=512, vocab_size=32_000)
DATA = "".join(f'{{"text": "{line}"}}\n' for line in LINES).encode()


@pytest.fixture
def world() -> World:
    """Return a world with one planned job of one shard."""
    made = World()
    made.recipe()
    made.drop("in.jsonl", DATA)
    made.deliver("plan")
    return made


def job_of(world: World) -> str:
    """Return the id of the only job."""
    _, body = world.ask("GET", "/v1/jobs")
    return str(body["jobs"][0]["job"])


@pytest.mark.parametrize("error", [Overloaded("full", retry_after_s=70), Unavailable("down"), DeadlineExceeded("late")])
def test_an_error_that_may_pass_leaves_no_strike(world: World, error: GlossaError) -> None:
    """A busy or absent model server costs no strike, however often. The message waits as long as the server asks."""
    for _ in range(2 * leases.MAX_STRIKES):
        world.echo.fail = [error]
        before_ms = world.clock()
        assert world.deliver("work")
        shard = world.shards(job_of(world))[0]
        assert (shard.state, shard.strikes, shard.reason) == (state_machine.PENDING, 0, error.code)
        waits_s = ((world.queue.next_visible_ms() or 0) - before_ms) / 1000
        assert max(4, error.retry_after_s or 0) <= waits_s <= 900
        world.clock.pass_s(waits_s)
    world.run()
    assert texts(world.rows(job_of(world))) == LINES


def test_a_shard_that_may_be_the_cause_is_given_up_at_last(world: World) -> None:
    """After five strikes each record has an error row that says why, and the job ends."""
    world.echo.fail = [RuntimeError("secret")] * 100
    world.run()
    job = world.job(job_of(world))
    rows = world.rows(job.job)
    assert (job.state, job.shards_failed, job.records_failed) == (state_machine.FAILED, 1, 9)
    assert len(world.echo.calls) == leases.MAX_STRIKES
    assert {row["error"]["code"] for row in rows} == {"given-up"}
    assert "RuntimeError" in rows[0]["error"]["detail"]
    assert "secret" not in rows[0]["error"]["detail"]


@pytest.mark.parametrize("kind", [Unprocessable, TooLarge])
def test_a_record_that_the_model_refuses_fails_alone(world: World, kind: Callable[[str], GlossaError]) -> None:
    """A call that is refused for its content is split in halves until the record that causes it is alone."""
    world.echo.poison, world.echo.poison_error = "text 4", lambda: kind("got text 4")
    world.run()
    rows = world.rows(job_of(world))
    assert texts(rows) == [None if line == "text 4" else line for line in LINES]
    assert rows[4]["error"]["detail"] == "got text 4"
    assert world.job(job_of(world)).state == state_machine.PARTIALLY_SUCCEEDED


def test_a_record_that_breaks_the_model_server_is_looked_for_at_last(world: World) -> None:
    """The whole shard is tried twice. Then the record is found, and the others are answered."""
    world.echo.poison, world.echo.poison_error = "text 4", lambda: ReplicaError("got 500")
    world.run()
    rows = world.rows(job_of(world))
    assert texts(rows) == [None if line == "text 4" else line for line in LINES]
    assert rows[4]["error"]["code"] == "replica-error"


def test_a_lease_that_is_held_sends_the_twin_away_until_it_ends(world: World) -> None:
    """Of two workers on one shard one works. The message of the other comes back after the lease."""
    job = job_of(world)
    seen: list[Exception] = []

    def twin() -> None:
        world.echo.before = None
        event = world.queue.receive("work")
        assert event is None
        shard = world.shards(job)[0]
        message = {"glossa": "work", "tenant": "local", "job": job, "shard": shard.shard}
        try:
            world.worker.handle_message(_delivery(message), lambda: LONG_S)
        except RetryLater as later:
            seen.append(later)

    world.echo.before = twin
    world.run()
    assert len(seen) == 1
    assert isinstance(seen[0], RetryLater)
    assert leases.LEASE_MS / 1000 <= seen[0].delay_s <= leases.LEASE_MS / 1000 + 10
    assert texts(world.rows(job)) == LINES


def test_a_worker_whose_lease_was_taken_changes_nothing(world: World) -> None:
    """A slow worker that comes back after another committed the shard changes nothing. It counts once."""
    job = job_of(world)

    def overtake() -> None:
        world.echo.before = None
        world.clock.pass_s(leases.LEASE_MS / 1000 + 1)
        shard = world.shards(job)[0]
        message = {"glossa": "work", "tenant": "local", "job": job, "shard": shard.shard}
        world.worker.handle_message(_delivery(message), lambda: LONG_S)
        assert world.shards(job)[0].attempt == 2

    world.echo.before = overtake
    world.run()
    found = world.job(job)
    assert (found.shards_done, found.records_ok, found.state) == (1, 9, state_machine.SUCCEEDED)
    assert texts(world.rows(job)) == LINES


def test_a_commit_that_is_refused_says_why(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The reason is that another worker claimed the shard, or that the job takes no more results."""
    job = job_of(world)
    rows = encode_given_up(row_source(world.shards(job)[0]), 9, Problem("given-up", "why"))
    world.worker.shard_commit.commit(world.job(job), replace(world.shards(job)[0], state="LEASED", attempt=7), rows)
    [line] = [
        line for line in map(json.loads, capsys.readouterr().out.splitlines()) if line["event"] == "commit-skipped"
    ]
    assert line["reason"] == "claimed by another"


def test_time_that_runs_out_is_the_shards_own_fault(world: World) -> None:
    """A shard that takes longer than the function lives gets a strike. A server that is late from load costs none."""
    world.echo.fail = [DeadlineExceeded("late")]
    event = world.queue.receive("work")
    assert event is not None
    world.answer("work", event, time_left_s=10.0)
    assert world.shards(job_of(world))[0].strikes == 1


def test_a_foreign_object_at_the_part_key_is_never_counted(world: World) -> None:
    """Another object at the part's key is not taken for a result."""
    job = job_of(world)
    shard = world.shards(job)[0]
    assert isinstance(world.effects.objects, InMemoryObjects)
    world.objects.put(world.effects.output_bucket, f"t/local/jobs/{job}/parts/{shard.shard}.jsonl", b"foreign")
    assert world.deliver("work")
    assert world.shards(job)[0].reason == "foreign-part"
    assert world.job(job).shards_done == 0


def test_an_oversize_record_is_an_error_row_that_nobody_reads() -> None:
    """A line over the limit fails alone. The worker does not fetch its bytes."""
    world = World()
    world.recipe()
    job = world.drop("in.jsonl", b'{"text": "a"}\n{"text": "' + b"x" * (1 << 20) + b'"}\n{"text": "b"}\n')
    world.run()
    rows = world.rows(job)
    assert texts(rows) == ["a", None, "b"]
    assert rows[1]["error"]["code"] == "too-large"


def test_a_pair_for_a_task_of_single_texts_is_an_error_row() -> None:
    """A record that the task cannot take is refused alone, as the synchronous API refuses it."""
    world = World()
    world.recipe(task="feature-extraction")
    job = world.drop("in.jsonl", b'{"text": "a", "text_pair": "b"}\n')
    world.run()
    assert "text_pair" in world.rows(job)[0]["error"]["detail"]


def test_unknown_shards_are_dropped(world: World) -> None:
    """A message for an unknown shard is logged and done. It may be older than the table."""
    message = {"glossa": "work", "tenant": "local", "job": "0" * 32, "shard": "00000000-0123456789ab"}
    world.worker.handle_message(_delivery(message), lambda: LONG_S)
    message["job"] = job_of(world)
    world.worker.handle_message(_delivery(message), lambda: LONG_S)


def test_errors_that_are_nobodys_fault_here_are_raised() -> None:
    """Only errors that a record can cause become its error row."""
    world = World()
    spec = world.recipe()

    def respond(_: object) -> object:
        raise Conflict("tokenizers differ")

    record = _records(["a"])
    with pytest.raises(Conflict):
        answer_all(record, spec, reference="mini:topic", tenant="local", deadline_s=1.0, respond=respond)  # type: ignore[arg-type] # never answers


def test_a_vector_for_each_token_comes_through() -> None:
    """A job with a vector for each token is answered whole. Its shards and calls are small enough for their answers."""
    lines = ["x " * 5000, "y " * 2100, "z " * 2100]
    answer_bytes: list[int] = []

    def reply(sent: SentRequest) -> Reply:
        asked = decode_call("mini", sent.headers, sent.data, LIMITS)
        n_tokens = asked.call.n_tokens
        vectors = Tensor("FP32", (n_tokens, WIDTH), memoryview(bytes(4 * WIDTH * n_tokens)))
        body = encode_output(asked, "mini", "r7", ModelOutput({"vectors": vectors}))
        answer_bytes.append(len(body.data))
        return Reply(200, body.headers, body.data)

    client = ReplicaClient(
        "http://127.0.0.1:9", transport=FakeTransport(reply), max_answer_bytes=MAX_SHARD_ANSWER_BYTES
    )

    def respond(request: TextRequest) -> tuple[Result, Mapping[int, GlossaError]]:
        return true_pipeline.run_valid_inputs(request, lambda calls: client.infer(calls, time.monotonic() + 60.0))

    true_pipeline = replace(pipeline(), now_s=lambda: 0.0)
    world = World(respond=respond)
    spec = JobSpec("feature-extraction", "mini:embed", {"per_token": True})
    world.recipes.create("local", "topics", spec)
    job = world.drop("in.jsonl", "".join(f'{{"text": "{line}"}}\n' for line in lines).encode())
    world.run()
    assert world.job(job).state == state_machine.SUCCEEDED
    assert world.job(job).n_shards == 3
    assert max(answer_bytes) > 5_000_000  # what one answer of the synchronous path may have


def test_the_calls_of_a_shard_have_one_trace(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """The log joins the trace with job and shard, and holds no text."""
    world.run()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (traced,) = [line for line in lines if line["event"] == "shard-trace"]
    assert (traced["job_id"], len(traced["trace_id"]), "dropped" in traced) == (job_of(world), 32, False)
    assert traced["shard"]
    assert not [line for line in lines if LINES[0] in json.dumps(line)]


def test_the_largest_answer_of_a_call_fits() -> None:
    """The worker's limit holds the vectors of the most tokens, up to a width of 2048."""
    assert MAX_TOKEN_VECTORS * 4 * 2048 < MAX_SHARD_ANSWER_BYTES


def _delivery(body: dict[str, str]) -> SqsMessage:
    return SqsMessage(dict(body))


def _records(lines: list[str]) -> list[Record]:
    return [Record(i, i, i + 1, line) for i, line in enumerate(lines)]
