"""The contract of a table, run on memory and on moto's DynamoDB. Any difference between them fails here."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest

from functions.jobs.state import keys, leases
from functions.jobs.state.items import Shard, from_item, to_item
from functions.jobs.state.keys import Key
from functions.jobs.state.transactions import (
    AtMost,
    Check,
    ConditionFailed,
    Delete,
    Guard,
    Is,
    IsIn,
    Item,
    Put,
    Update,
    Write,
)
from functions.jobs.storage.contracts import Table
from tests.unit.functions.jobs.state.test_state_machine import JOB, NOW, SHARD
from tests.unit.functions.jobs.wiring import Effects

A, B, C = Key("t/x/jobs/1", "job"), Key("t/x/jobs/1", "plan"), Key("t/x/jobs/2", "job")


@pytest.fixture
def table(effects: Effects) -> Table:
    """Return each table in turn."""
    return effects.table


def test_an_item_comes_back_as_it_was_put(table: Table) -> None:
    """Text, integers, booleans, lists and maps come back, together with the keys."""
    item: Item = {
        "text": "ü\x00😀", "empty": "", "number": -(10**18), "yes": True, "no": False,
        "list": ["a", 1, []], "map": {"k": {"v": 2}}, "state": "RUNNING",
    }  # fmt: skip
    table.write(Put(A, item))
    assert table.get(A) == item | {"pk": A.pk, "sk": A.sk}
    assert table.get(B) is None
    assert table.get_many([B, A, C, A]) == [None, table.get(A), None, table.get(A)]


def test_a_put_is_refused_when_the_key_is_taken(table: Table) -> None:
    """The first put wins. The second names the write that failed, and changes nothing."""
    table.write(Put(A, {"n": 1}))
    with pytest.raises(ConditionFailed) as refused:
        table.write(Put(B, {"n": 2}), Put(A, {"n": 2}))
    assert refused.value.failed == (1,)
    assert table.get(A) == {"n": 1, "pk": A.pk, "sk": A.sk}
    assert table.get(B) is None


def test_an_update_sets_adds_and_removes_at_once(table: Table) -> None:
    """An absent counter counts from zero. Names may be reserved words of DynamoDB."""
    table.write(Put(A, {"state": "PENDING", "name": "x", "n": 2}))
    table.write(Update(A, set={"state": "DONE", "size": 3}, add={"n": -5, "count": 7}, remove=("name", "missing")))
    assert table.get(A) == {"pk": A.pk, "sk": A.sk, "state": "DONE", "size": 3, "n": -3, "count": 7}


@pytest.mark.parametrize("write", [Update(A, set={"n": 1}), Delete(A), Check(A)])
def test_what_is_absent_cannot_be_changed(table: Table, write: Write) -> None:
    """Update, delete and check of a missing item fail and create nothing."""
    with pytest.raises(ConditionFailed):
        table.write(write)
    assert table.get(A) is None


GUARDS: list[tuple[Guard, bool]] = [
    (Is("state", "RUNNING"), True),
    (Is("state", "DONE"), False),
    (Is("n", 3), True),
    (Is("n", "3"), False),
    (Is("missing", ""), False),
    (IsIn("state", ("PLANNING", "RUNNING")), True),
    (IsIn("state", ("DONE",)), False),
    (IsIn("missing", ("DONE",)), False),
    (AtMost("n", 3), True),
    (AtMost("n", 2), False),
    (AtMost("missing", 2), False),
]


MAKERS: list[Callable[[Guard], Write]] = [
    lambda guard: Update(A, set={"x": 1}, guards=(guard,)),
    lambda guard: Check(A, (guard,)),
    lambda guard: Delete(A, (guard,)),
]


def test_guards(table: Table) -> None:
    """A guard compares type and value in every kind of write. With a missing attribute every guard is false."""
    for guard, holds in GUARDS:
        table.write(Put(A, {"state": "RUNNING", "n": 3}))
        for make in MAKERS:
            try:
                table.write(make(guard))
            except ConditionFailed:
                assert not holds, guard
            else:
                assert holds, guard
        if table.get(A) is not None:
            table.write(Delete(A))


def test_a_transaction_is_all_or_nothing(table: Table) -> None:
    """One false guard undoes all writes. The error names every write that failed, and no other."""
    table.write(Put(A, {"n": 1}), Put(B, {"n": 1}), Put(C, {"n": 1}))
    with pytest.raises(ConditionFailed) as refused:
        table.write(Update(A, add={"n": 1}), Check(B, (Is("n", 9),)), Update(C, add={"n": 1}, guards=(Is("n", 8),)))
    assert refused.value.failed == (1, 2)
    assert [item and item["n"] for item in table.get_many([A, B, C])] == [1, 1, 1]
    table.write(Update(A, add={"n": 1}), Check(B, (Is("n", 1),)), Delete(C))
    assert table.get(C) is None


def test_a_hundred_writes_are_the_most(table: Table) -> None:
    """A transaction of 100 writes is done. None, 101, and two writes on one item are bugs of ours."""
    table.write(*(Put(Key("p", f"{i:03d}"), {"n": i}) for i in range(100)))
    twice = (Update(Key("p", "000"), set={"n": 1}), Check(Key("p", "000")))
    for writes in ((), tuple(Put(Key("q", str(i)), {}) for i in range(101)), twice):
        with pytest.raises(ValueError, match="expected 1 to 100"):
            table.write(*writes)
    with pytest.raises(ValueError, match="expected a Check"):
        table.write(Update(Key("p", "000"), guards=(Is("n", 0),)))


@pytest.mark.parametrize("newest_first", [False, True])
def test_pages_give_every_item_once_in_order(table: Table, *, newest_first: bool) -> None:
    """Pages of any size give all items of a partition under a prefix, sorted, none twice."""
    for i in range(7):
        table.write(
            Put(Key("p", f"shard/{i}"), {"n": i}), Put(Key("p", f"input/{i}"), {}), Put(Key("q", f"shard/{i}"), {})
        )
    expected = sorted(range(7), reverse=newest_first)
    for limit in (1, 3, 7, 50):
        found, after, pages = [], None, 0
        while True:
            page = table.query("p", prefix="shard/", after=after, limit=limit, newest_first=newest_first)
            found += [item["n"] for item in page.items]
            pages += 1
            if page.after is None or pages > 9:
                break
            after = page.after
        assert found == expected
    assert table.query("nobody").items == ()


def test_the_index_is_sparse_and_sorted_by_time(table: Table) -> None:
    """Only items with index attributes are due, oldest first, strictly before the given time."""
    table.write(Put(A, {"gsi1pk": "due/1", "gsi1sk": "0005/a"}), Put(B, {"gsi1pk": "due/1", "gsi1sk": "0003/b"}))
    table.write(Put(C, {"gsi1pk": "due/2", "gsi1sk": "0001/c"}), Put(Key("p", "none"), {}))
    assert table.due("due/1", "0006/", 10) == [B, A]
    assert table.due("due/1", "0006/", 1) == [B]
    assert table.due("due/1", "0005/", 10) == [B]
    table.write(Update(B, remove=("gsi1pk", "gsi1sk")))
    assert table.due("due/1", "9999/", 10) == [A]


def test_of_many_racing_claims_one_wins(table: Table) -> None:
    """Of sixteen threads that claim the same lease one succeeds, and the fence grows by one."""
    table.write(Put(A, {"attempt": 0}))

    def claim(_: int) -> bool:
        try:
            table.write(Update(A, set={"attempt": 1}, guards=(Is("attempt", 0),)))
        except ConditionFailed:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(claim, range(16))) == 1


def test_every_reason_is_named(table: Table) -> None:
    """Of a taken key, a false guard, an absent item and a good write in one transaction, the first three are named."""
    table.write(Put(A, {"n": 1}), Put(B, {"n": 1}))
    d, e = Key("t/x/jobs/3", "job"), Key("t/x/jobs/4", "job")
    with pytest.raises(ConditionFailed) as refused:
        table.write(Put(A, {}), Update(B, set={"n": 2}, guards=(Is("n", 2),)), Delete(C), Put(d, {}), Check(e))
    assert refused.value.failed == (0, 1, 2, 4)
    assert [item and item["n"] for item in table.get_many([A, B, C, d])] == [1, 1, None, None]


def test_an_item_over_400_kb_is_refused(table: Table) -> None:
    """An item that is too large, or becomes so by an update, is not written."""
    table.write(Put(A, {"text": "x" * 300_000}))
    for write in (Put(B, {"text": "ü" * 205_000}), Update(A, set={"more": "x" * 110_000})):
        with pytest.raises(Exception, match=r"(?i)size|over 409600 bytes|ValidationError"):
            table.write(write)
    assert table.get(B) is None
    assert "more" not in (table.get(A) or {})


def test_big_items_come_in_pages_too(table: Table) -> None:
    """A page may hold fewer items than asked for, as DynamoDB's end at 1 MB. All pages give each item once."""
    for i in range(7):
        table.write(Put(Key("p", f"shard/{i}"), {"n": i, "text": "x" * 300_000}))
    found, after = [], None
    for _ in range(9):
        page = table.query("p", prefix="shard/", after=after, limit=100)
        found += [item["n"] for item in page.items]
        if (after := page.after) is None:
            break
    assert found == list(range(7))


def test_of_many_racing_workers_one_holds_the_lease(table: Table) -> None:
    """Of many claims of a free shard, and later of its expired lease, one succeeds. The fence counts the successes."""
    free = replace(SHARD, lease_until_ms=0)
    table.write(Put(keys.shard_item(JOB.tenant, JOB.job, SHARD.shard), to_item(free)))
    for turn, now_ms in enumerate((NOW, NOW + leases.LEASE_MS), start=1):
        seen = from_item(Shard, table.get(keys.shard_item(JOB.tenant, JOB.job, SHARD.shard)) or {})

        def claim(_: int, seen: Shard = seen, now_ms: int = now_ms) -> bool:
            try:
                table.write(leases.claim(JOB, seen, now_ms)[0])
            except ConditionFailed:
                return False
            return True

        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(claim, range(8))) == 1
        left = from_item(Shard, table.get(keys.shard_item(JOB.tenant, JOB.job, SHARD.shard)) or {})
        assert (left.state, left.attempt, left.strikes) == ("LEASED", turn, turn - 1)


def test_racing_counts_are_all_counted(table: Table) -> None:
    """Racing transactions that add to one counter lose nothing."""
    table.write(Put(A, {"done": 0}), *(Put(Key("s", str(i)), {"state": "LEASED"}) for i in range(24)))

    def commit(i: int) -> None:
        shard = Update(Key("s", str(i // 2)), set={"state": "DONE"}, guards=(Is("state", "LEASED"),))
        with suppress(ConditionFailed):
            table.write(shard, Update(A, add={"done": 1}))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(commit, range(48)))
    assert (table.get(A) or {})["done"] == 24
