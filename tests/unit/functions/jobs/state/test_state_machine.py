"""The job state machine: a move is listed or a Conflict, fences hold, and each shard is counted once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.jobs.state import keys, leases, state_machine
from functions.jobs.state.items import (
    Input,
    Job,
    JobSpec,
    Listing,
    PlanProgress,
    Recipe,
    Shard,
    from_item,
    iso,
    to_item,
)
from functions.jobs.state.leases import Part
from functions.jobs.state.transactions import ConditionFailed, Is, Put, Update
from functions.jobs.storage.in_memory.table import InMemoryTable
from shared.errors import Conflict

NOW = 1_800_000_000_000
JOB = Job(tenant="a", job="0" * 32, state=state_machine.RUNNING, source="api", spec="", created_ms=NOW, expires_at=9)
SHARD = Shard(
    shard="00000000-0123456789ab", state=state_machine.PENDING, input=0, key="k", version="v", etag="e", start=0, end=9,
    line=0, record=0, n_records=3, framing="lines",
)  # fmt: skip
PART = Part("d" * 64, 100, 2, 1, "r7")
STATES = st.sampled_from(sorted(state_machine.JOB_MOVES))


@given(STATES, STATES)
def test_only_moves_of_the_table_can_be_made(before: str, after: str) -> None:
    """A move that is not listed is a Conflict that names both states. A listed move is guarded by the first state."""
    job = replace(JOB, state=before)
    if after in state_machine.JOB_MOVES[before]:
        write = state_machine.move(job, after, NOW)
        assert write.set["state"] == after
        assert Is("state", before) in write.guards
        assert Is("generation", job.generation) in write.guards
        assert ("gsi1pk" in write.set) == (after != state_machine.DELETED) == (not write.remove)
        assert ("finished_ms" in write.set) == (after in state_machine.ENDED)
    else:
        with pytest.raises(Conflict, match=f"{before}.*{after}"):
            state_machine.move(job, after, NOW)


def test_ended_states_are_left_by_an_order_alone() -> None:
    """Only redrive and delete leave an ended job, and only redrive an ended shard. Nothing leaves DELETED."""
    assert {"SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED"} == state_machine.ENDED
    for state in state_machine.ENDED:
        assert state_machine.JOB_MOVES[state] <= {state_machine.REDRIVING, state_machine.DELETING}
    assert not state_machine.JOB_MOVES[state_machine.DELETED]
    assert {state_machine.SHARD_MOVES[state] for state in state_machine.SHARD_ENDED} == {
        frozenset({state_machine.PENDING})
    }


def test_every_state_can_be_reached_and_left() -> None:
    """Every job state can be reached from CREATED, and every shard state from PENDING."""
    for table, first in (
        (state_machine.JOB_MOVES, state_machine.CREATED),
        (state_machine.SHARD_MOVES, state_machine.PENDING),
    ):
        reached, new = {first}, {first}
        while new:
            new = {after for state in new for after in table[state]} - reached
            reached |= new
        assert reached == set(table)


@pytest.mark.parametrize(
    ("ok", "failed", "problems", "expected"),
    [(3, 0, 0, "SUCCEEDED"), (3, 1, 0, "PARTIALLY_SUCCEEDED"), (3, 0, 1, "PARTIALLY_SUCCEEDED"), (0, 3, 0, "FAILED"),
     (0, 0, 1, "FAILED")],
)  # fmt: skip
def test_outcome(ok: int, failed: int, problems: int, expected: str) -> None:
    """All records succeeded, some, or none."""
    job = replace(JOB, state=state_machine.FINALIZING, records_ok=ok, records_failed=failed, n_problems=problems)
    assert state_machine.outcome(job) == expected
    assert state_machine.end(job, "d", NOW).set["state"] == expected
    assert state_machine.outcome(replace(job, state=state_machine.CANCELLING)) == "CANCELLED"


def test_a_job_closes_only_with_no_open_shard() -> None:
    """A job with open shards, or in any state but RUNNING, does not close. The write checks that again."""
    for job in (replace(JOB, shards_open=1), replace(JOB, shards_open=-1), replace(JOB, state=state_machine.PLANNING)):
        with pytest.raises(Conflict):
            state_machine.close(job, NOW)
    assert Is("shards_open", 0) in state_machine.close(JOB, NOW).guards


@pytest.mark.parametrize("state", sorted(state_machine.JOB_MOVES))
def test_cancel(state: str) -> None:
    """A job stops at once before it is started, in two moves while it runs, and not when it is closing."""
    job = replace(JOB, state=state)
    if state == state_machine.CREATED:
        assert state_machine.cancel(job, NOW).set["state"] == state_machine.CANCELLED
    elif state in {state_machine.SUBMITTED, state_machine.PLANNING, state_machine.RUNNING, state_machine.REDRIVING}:
        assert state_machine.cancel(job, NOW).set["state"] == state_machine.CANCELLING
    else:
        with pytest.raises(Conflict):
            state_machine.cancel(job, NOW)


def stored(*shards: Shard, job: Job = JOB) -> InMemoryTable:
    """Put a job and shards into a table."""
    store = InMemoryTable()
    store.write(Put(keys.job_item(job.tenant, job.job), to_item(job)))
    for shard in shards:
        store.write(Put(keys.shard_item(job.tenant, job.job, shard.shard), to_item(shard)))
    return store


def shard_in(store: InMemoryTable) -> Shard:
    """Read the shard back."""
    return from_item(Shard, store.get(keys.shard_item(JOB.tenant, JOB.job, SHARD.shard)) or {})


def job_in(store: InMemoryTable) -> Job:
    """Read the job back."""
    return from_item(Job, store.get(keys.job_item(JOB.tenant, JOB.job)) or {})


def test_a_claim_leaves_what_it_says() -> None:
    """The stored shard is the one that the claim returned: leased, with its fence, due when the lease ends."""
    store = stored(SHARD)
    write, leased = leases.claim(JOB, SHARD, NOW)
    store.write(write)
    assert shard_in(store) == leased
    assert (leased.state, leased.attempt, leased.strikes) == (state_machine.LEASED, 1, 0)
    item = store.get(write.key) or {}
    assert str(item["gsi1sk"]).startswith(f"{NOW + leases.LEASE_MS:014d}/")
    with pytest.raises(ConditionFailed):
        store.write(write)


def test_a_lease_holds_until_it_ends() -> None:
    """Before its end a lease cannot be taken. After it, a claim raises the fence and adds a strike."""
    store = stored(SHARD)
    write, first = leases.claim(JOB, SHARD, NOW)
    store.write(write)
    with pytest.raises(leases.Held) as held:
        leases.claim(JOB, first, NOW + leases.LEASE_MS - 1)
    assert held.value.until_ms == NOW + leases.LEASE_MS
    write, second = leases.claim(JOB, first, NOW + leases.LEASE_MS)
    store.write(write)
    assert (second.attempt, second.strikes) == (2, 1)
    for late in (leases.release(JOB, first, strike=True, reason="x"), *leases.commit_writes(JOB, first, PART, NOW)[:1]):
        with pytest.raises(ConditionFailed):
            store.write(late)
    assert shard_in(store) == second


def test_a_released_shard_is_free_again() -> None:
    """A release adds a strike only when asked to, and keeps the reason. The shard leaves the index."""
    store = stored(SHARD)
    for strike, strikes in ((False, 0), (True, 1), (True, 2)):
        write, leased = leases.claim(JOB, shard_in(store), NOW)
        store.write(write)
        store.write(leases.release(JOB, leased, strike=strike, reason="why"))
        found = shard_in(store)
        assert (found.state, found.strikes, found.reason) == (state_machine.PENDING, strikes, "why")
        assert "gsi1pk" not in (store.get(write.key) or {})


def test_a_commit_counts_once() -> None:
    """Of two commits of one lease one counts. The shard leaves the index."""
    store = stored(SHARD, job=replace(JOB, shards_open=1))
    write, leased = leases.claim(JOB, SHARD, NOW)
    store.write(write)
    store.write(*leases.commit_writes(JOB, leased, PART, NOW))
    with pytest.raises(ConditionFailed) as refused:
        store.write(*leases.commit_writes(JOB, leased, PART, NOW))
    assert refused.value.failed == (0,)
    job, shard = job_in(store), shard_in(store)
    assert (job.shards_open, job.shards_done, job.shards_failed, job.records_ok, job.records_failed) == (0, 1, 0, 2, 1)
    assert (shard.state, shard.part_sha256, shard.records_ok) == (state_machine.DONE, PART.sha256, 2)
    assert "gsi1pk" not in (store.get(write.key) or {})
    with pytest.raises(Conflict):
        leases.claim(JOB, shard, NOW + 10**9)


def test_a_commit_keeps_the_times_and_the_records() -> None:
    """The job knows when its first committed shard was claimed, when the last was committed, and how many records."""
    store = stored(SHARD, replace(SHARD, shard="00000001-0123456789ab"))
    for name, at_s in ((SHARD.shard, 0), ("00000001-0123456789ab", 50)):
        begun = replace(SHARD, shard=name)
        write, leased = leases.claim(JOB, begun, NOW + at_s * 1000)
        store.write(write)
        store.write(*leases.commit_writes(job_in(store), leased, PART, NOW + at_s * 1000 + 9))
    job = job_in(store)
    assert (job.begun_ms, job.settled_ms, job.records_run) == (NOW, NOW + 50_009, 6)
    again = state_machine.redrive(replace(job, state=state_machine.PARTIALLY_SUCCEEDED, expires_at=NOW), NOW)
    assert [again.set[name] for name in ("begun_ms", "settled_ms", "records_run")] == [0, 0, 0]


def test_the_end_of_a_job_is_due_until_it_was_told() -> None:
    """An ended job stays in the index until its end was announced."""
    store = stored(job=replace(JOB, state=state_machine.FINALIZING, records_ok=1))
    store.write(state_machine.end(job_in(store), "d", NOW))
    key = keys.job_item("a", JOB.job)
    assert "gsi1pk" in (store.get(key) or {})
    store.write(state_machine.announced(job_in(store)))
    assert "gsi1pk" not in (store.get(key) or {"gsi1pk": 1})


@pytest.mark.parametrize("state", ["CANCELLING", "CANCELLED", "FINALIZING", "FAILED"])
def test_a_job_that_is_over_takes_no_result(state: str) -> None:
    """A late commit changes neither the shard nor the counters, and its error says that the job refused it."""
    store = stored(SHARD, job=replace(JOB, state=state))
    write, leased = leases.claim(JOB, SHARD, NOW)
    store.write(write)
    with pytest.raises(ConditionFailed) as refused:
        store.write(*leases.commit_writes(JOB, leased, PART, NOW))
    assert refused.value.failed == (1,)
    assert job_in(store).shards_done == 0
    assert shard_in(store).state == state_machine.LEASED


def test_planning_is_refused_to_the_slower_planner_and_to_a_cancelled_job() -> None:
    """A step from an old checkpoint adds nothing, and neither does a step of a cancelled job."""
    planning = replace(JOB, state=state_machine.PLANNING)
    store = stored(job=planning)
    plan = PlanProgress(max_records=256, max_chars=4096, n_inputs=1)
    store.write(Put(keys.plan_item("a", JOB.job), to_item(plan)))
    after = replace(plan, step=1, record=3, n_shards=1, updated_ms=NOW)
    writes = state_machine.plan_step(planning, plan, after, (SHARD,), None)
    store.write(*writes)
    assert "gsi1pk" not in (store.get(keys.shard_item("a", JOB.job, SHARD.shard)) or {"gsi1pk": 1})
    with pytest.raises(ConditionFailed):
        store.write(*writes)
    store.write(state_machine.cancel(planning, NOW))
    other = replace(SHARD, shard="00000001-0123456789ab")
    with pytest.raises(ConditionFailed) as refused:
        store.write(*state_machine.plan_step(planning, after, replace(after, step=2), (other,), None))
    assert refused.value.failed == (1,)


def test_a_job_planned_after_its_shards_ended_is_ready_at_once() -> None:
    """Shards may end while planning goes on. The count of open shards then reaches zero when planning ends."""
    job = replace(JOB, state=state_machine.PLANNING, shards_open=-2)
    store = stored(job=job)
    plan = PlanProgress(max_records=256, max_chars=4096, step=4, n_shards=2, record=5)
    store.write(Put(keys.plan_item("a", JOB.job), to_item(plan)))
    assert not state_machine.ready_to_close(job)
    store.write(*state_machine.end_planning(job, plan, NOW))
    assert state_machine.ready_to_close(job_in(store))
    assert job_in(store).n_records == 5


def test_repair_is_refused_when_the_counters_moved() -> None:
    """A repair does not overwrite counters that changed since they were read."""
    store = stored()
    store.write(Update(keys.job_item("a", JOB.job), add={"shards_done": 1}))
    with pytest.raises(ConditionFailed):
        store.write(state_machine.repair_counters(JOB, {"shards_done": 5}))


def test_items_come_back() -> None:
    """Every entity can be read back from its item, and a spec from its JSON."""
    entities = [
        JOB,
        SHARD,
        PlanProgress(max_records=256, max_chars=4096, unsent=("a", "b")),
        Input(ordinal=1, key="ü", etag="e", size_bytes=3),
    ]
    for entity in [*entities, Listing(job="j", expires_at=1), Recipe(name="r", spec="{}", created_ms=5)]:
        kind: type[Job] = type(entity)  # type: ignore[assignment] # any of the six
        assert from_item(kind, {"pk": "p", "sk": "s", "gsi1pk": "x", **to_item(entity)}) == entity
    spec = JobSpec("fill-mask", "mini:mlm", {"targets": ("a", "b"), "top_k": 3, "x": 0.5, "none": None})
    assert JobSpec.from_json(spec.to_json()) == spec


def test_times_are_written_as_iso() -> None:
    """Times are in UTC with milliseconds. Zero means not yet."""
    assert iso(NOW + 7) == "2027-01-15T08:00:00.007Z"
    assert iso(0) is None
