"""Records that kill the model server, and a server that is down, with the true pipeline and the true client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from functions.jobs.state import keys, leases, state_machine
from functions.jobs.state.items import JobSpec
from functions.jobs.state.transactions import Update
from functions.jobs.steps.work.answer_records import send_probe
from functions.messages import Result
from functions.replica.client import ReplicaClient
from functions.replica.fake import FakeTransport, SentRequest
from functions.replica.readiness import Patience
from functions.replica.transport import NotConnected, Reply, ReplyLate, ReplyLost
from functions.tasks.registry import TASK_NAMES
from functions.tasks.task import TextRequest
from shared.errors import GlossaError
from shared.messages import InferCall, ModelOutput
from shared.protocol import CallLimits, decode_call, encode_output
from tests.unit.functions.http.world import count_ids, pipeline, tokenizer
from tests.unit.functions.jobs.world import TENANT, Clock, World
from tests.unit.functions.replica.world import is_probe

LIMITS = CallLimits(max_body_bytes=2**24, max_rows=4096, max_tokens=16_384, max_row_tokens=512, vocab_size=32_000)
KILLER = "boom"
LINES = [f"text {i}" for i in range(16)]
RESTART_S = 12.0  # longer than the breaker stays open
REFUSED = NotConnected("refused")


@dataclass
class Mortal:
    """A model server on the world's clock. A call that holds the ids of the killer ends it for `restart_s`.

    With `hangs` it does not die but says nothing for as long as the caller waits. While it is dead, a call gets `dead`:
    an error that is raised, or a proxy's reply. The calls whose numbers are in `lose` are lost through no fault of
    their own.
    """

    clock: Clock
    restart_s: float = RESTART_S
    dead: Reply | Exception = REFUSED
    up_again_s: float = 0.0
    hangs: bool = False
    n_killed: int = 0
    n_calls: int = 0
    lose: Sequence[int] = ()
    ids: tuple[int, ...] = field(default_factory=lambda: tuple(tokenizer().encode(KILLER).ids))

    def __call__(self, sent: SentRequest) -> Reply:
        """Answer, die, or be dead."""
        if self.clock() / 1000 < self.up_again_s:
            if isinstance(self.dead, Exception):
                raise self.dead
            return self.dead
        if is_probe(sent):
            return Reply(200)
        self.n_calls += 1
        asked = decode_call("mini", sent.headers, sent.data, LIMITS)
        if self._kills(asked.call):
            self.n_killed += 1
            if self.hangs:
                self.clock.pass_s(sent.timeout_s)
                raise ReplyLate("no reply")
            self.up_again_s = self.clock() / 1000 + self.restart_s
            raise ReplyLost("reset")
        if self.n_calls in self.lose:
            raise ReplyLost("reset")
        body = encode_output(asked, "mini", "r7", count_ids(asked.call))
        return Reply(200, body.headers, body.data)

    def _kills(self, call: InferCall) -> bool:
        ids = call.input_ids.int_values().tolist()
        return any(tuple(ids[at : at + len(self.ids)]) == self.ids for at in range(len(ids)))


@dataclass
class Setting:
    """A world whose worker has the true pipeline and the true client."""

    world: World
    server: Mortal
    transport: FakeTransport
    job: str

    @property
    def strikes(self) -> int:
        """Return the strikes of the only shard."""
        return self.world.shards(self.job)[0].strikes

    def strike(self, n: int) -> None:
        """Give the shard strikes."""
        shard = self.world.shards(self.job)[0].shard
        self.world.effects.table.write(Update(keys.shard_item(TENANT, self.job, shard), set={"strikes": n}))


def make(lines: list[str], *, restart_s: float = RESTART_S, dead: Reply | Exception = REFUSED) -> Setting:
    """Make a setting with one planned shard of these lines."""
    clock = Clock()

    def now_s() -> float:
        return clock() / 1000

    server = Mortal(clock, restart_s, dead)
    transport = FakeTransport(server)
    client = ReplicaClient(
        "http://127.0.0.1:9", transport=transport, clock=now_s, pause=clock.pass_s, jitter=lambda: 0.5,
        waits_for_server=True, patience=Patience(caller_s=30.0),
    )  # fmt: skip
    true_pipeline = replace(pipeline(), now_s=now_s)

    def respond(request: TextRequest) -> tuple[Result, Mapping[int, GlossaError]]:
        return true_pipeline.run_valid_inputs(request, lambda calls: client.infer(calls, request.deadline_s))

    world = World(clock=clock, respond=respond)
    world.recipe()
    job = world.drop("in.jsonl", "".join(f'{{"text": "{line}"}}\n' for line in lines).encode())
    world.deliver("plan")
    return Setting(world, server, transport, job)


def lines_with(*places: int) -> list[str]:
    """Return the lines, with the killer at each of `places`."""
    return [KILLER if i in places else line for i, line in enumerate(LINES)]


@pytest.mark.parametrize("place", [0, 9, 15])
@pytest.mark.parametrize("dead", [REFUSED, Reply(503, {}, b"no replica")], ids=["refused", "proxy"])
def test_a_record_that_kills_the_server_fails_alone_and_the_job_ends(place: int, dead: Reply | Exception) -> None:
    """The killer is found and gets an error row, however long the breaker is open. All others are answered."""
    setting = make(lines_with(place), dead=dead)
    setting.world.run()
    rows = setting.world.rows(setting.job)
    assert [row["index"] for row in rows if "error" in row] == [place]
    assert rows[place]["error"]["code"] == "replica-error"
    assert setting.world.job(setting.job).state == state_machine.PARTIALLY_SUCCEEDED


@pytest.mark.parametrize("place", [0, 9, 15])
def test_a_record_at_which_the_server_hangs_fails_alone_and_the_job_ends(place: int) -> None:
    """A call without an answer leaves a strike. Then one run finds the record by halves, and answers the rest."""
    setting = make(lines_with(place))
    setting.server.hangs = True
    setting.world.run()
    rows = setting.world.rows(setting.job)
    assert [(row["index"], row["error"]["code"]) for row in rows if "error" in row] == [(place, "deadline-exceeded")]
    assert setting.world.job(setting.job).state == state_machine.PARTIALLY_SUCCEEDED
    assert setting.world.shards(setting.job)[0].attempt == leases.MAX_STRIKES - 2


def test_a_server_that_is_late_and_says_so_costs_no_strike() -> None:
    """An overloaded server drops what it cannot do in time before the caller stops waiting. No record is to blame."""
    setting = make(LINES, dead=Reply(504, {}, b"late"))
    setting.server.up_again_s = setting.world.clock() / 1000 + 86_400
    setting.world.run(rounds=2000)
    assert setting.strikes == 0
    assert setting.world.job(setting.job).state == state_machine.SUCCEEDED


def test_while_the_breaker_is_open_nothing_is_claimed_and_no_receive_is_lost() -> None:
    """The worker waits with its one message. When its time is up, it sends a new message instead."""
    setting = make(LINES)
    world, waits = setting.world, [10.0] * 40
    world.worker = replace(world.worker, blocked_s=lambda _: waits.pop() if waits else 0.0)
    before = world.clock()
    assert world.deliver("work")
    assert world.clock() - before == 300_000
    assert (setting.server.n_calls, world.shards(setting.job)[0].attempt) == (0, 0)
    assert world.queue.waiting("work") == 1
    world.run()
    assert world.job(setting.job).state == state_machine.SUCCEEDED
    assert world.shards(setting.job)[0].attempt == 1


def test_a_server_that_takes_too_long_to_come_back_still_ends_the_job() -> None:
    """When a restart takes longer than a run, each run leaves a strike, so that the shard is given up in the end."""
    setting = make(lines_with(3), restart_s=290.0)
    setting.world.run()
    assert setting.world.job(setting.job).state == state_machine.FAILED
    assert {row["error"]["code"] for row in setting.world.rows(setting.job)} == {"given-up"}
    assert setting.server.n_killed <= 2 * leases.MAX_STRIKES


@pytest.mark.parametrize(
    "dead",
    [REFUSED, Reply(502, {}, b"bad gateway"), Reply(503, {}, b""), Reply(504, {}, b"")],
    ids=["refused", "502", "503", "504"],
)
@pytest.mark.parametrize("strikes", [0, 2, 4])
def test_a_long_outage_poisons_nothing(strikes: int, dead: Reply | Exception) -> None:
    """A server that is away for a day, in whatever way, costs a suspect shard no strike and no answer."""
    setting = make(LINES, dead=dead)
    setting.strike(strikes)
    setting.server.up_again_s = setting.world.clock() / 1000 + 86_400
    setting.world.run()
    assert setting.world.job(setting.job).state == state_machine.SUCCEEDED
    assert setting.strikes == max(strikes, 2 if dead == Reply(502, {}, b"bad gateway") else 0)


def test_an_outage_that_begins_in_a_run_costs_one_strike() -> None:
    """When the server goes away for a day during a suspect's call, later runs leave no more strikes."""
    setting = make(lines_with(3), restart_s=86_400.0)
    setting.strike(2)
    for _ in range(20):
        setting.world.deliver("work")
        setting.world.clock.pass_s(1000.0)
    assert (setting.strikes, setting.server.n_killed) == (3, 1)


def test_a_neighbour_that_kills_the_server_once_convicts_nobody() -> None:
    """A single record whose call was lost through another's fault is tried again, and answered."""
    setting = make(["text"])
    setting.strike(2)
    setting.server.lose = [2, 3]  # the first call after the probe, and the client's retry
    setting.world.run()
    assert setting.world.job(setting.job).state == state_machine.SUCCEEDED
    assert setting.strikes == 2


def test_a_suspect_is_handed_back_at_once_while_the_server_is_away() -> None:
    """Before anything broke, no function waits for the server."""
    setting = make(LINES)
    setting.strike(2)
    setting.server.up_again_s = setting.world.clock() / 1000 + 600
    before_ms = setting.world.clock()
    setting.world.deliver("work")
    assert setting.world.clock() - before_ms < 1000
    assert setting.world.shards(setting.job)[0].reason == "unavailable"


@pytest.mark.parametrize("dead", [REFUSED, Reply(503, {}, b""), Reply(504, {}, b"")], ids=["refused", "503", "504"])
def test_a_retry_that_finds_no_server_does_not_hide_who_broke_it(dead: Reply | Exception) -> None:
    """A call that broke the server, and whose retry met none, leaves the strike of the first."""
    setting = make(lines_with(3), dead=dead)
    setting.world.deliver("work")
    assert (setting.strikes, len(setting.transport.sent)) == (1, 2)


@pytest.mark.parametrize("task", TASK_NAMES)
def test_the_probe_is_one_for_every_task(task: str) -> None:
    """The head of each task answers it."""
    spec = JobSpec(task, parameters={"candidate_labels": ("a",)} if task.startswith("zero-shot") else {})
    send_probe(spec, "mini", "local", float("inf"), lambda request: pipeline().run_valid_inputs(request, count_all))


def count_all(calls: Sequence[InferCall]) -> list[ModelOutput]:
    """Answer each call."""
    return [count_ids(call) for call in calls]
