"""Whole jobs in one process: plan, work and finalize over stores in memory, with a small runtime."""

from __future__ import annotations

import gzip
import hashlib
import json

import pytest

from functions.jobs.state import keys, state_machine
from tests.unit.functions.jobs.world import JSONL, LINES, TENANT, World, assert_whole, texts


def test_an_object_in_an_inbox_becomes_results() -> None:
    """One event leads to a manifest that names every part, and the model that answered."""
    world = World(max_records=7)
    spec = world.recipe()
    job = world.drop("in.jsonl", JSONL)
    world.run()
    assert_whole(world, job, LINES)
    assert world.job(job).state == state_machine.SUCCEEDED
    manifest = world.manifest(job)
    assert manifest["spec"] == json.loads(spec.to_json())
    assert (manifest["model"], manifest["head"], manifest["model_revision"]) == ("mini", "topic", "r7")
    assert (manifest["tokenizer_sha256"], manifest["catalog_sha256"]) == ("f" * 64, "c" * 64)
    assert manifest["counts"]["shards"] == 6
    assert [row["id"] for row in world.rows(job)] == [f"r{i}" for i in range(40)]
    assert world.rows(job)[39]["source"] == {"key": "t/local/inbox/topics/in.jsonl", "line": 40}
    assert max(world.echo.calls) == 7


def test_repeated_events_and_deliveries_change_nothing() -> None:
    """Every message is delivered three times, and the event comes again after the end. There is one job."""
    world = World(max_records=7)
    world.recipe()
    job = world.drop("in.jsonl", JSONL)
    world.run(copies=3)
    assert_whole(world, job, LINES)
    before = world.job(job)
    stored = world.objects.head(world.effects.input_bucket, keys.inbox_key(TENANT, "topics", "in.jsonl"))
    assert stored is not None
    world.announce(stored.key, stored.size_bytes, stored.etag, stored.version)
    world.run(copies=2)
    assert world.job(job) == before
    assert world.ask("GET", "/v1/jobs")[1]["jobs"][0]["job"] == job
    assert len(world.ask("GET", "/v1/jobs")[1]["jobs"]) == 1


def test_a_new_version_of_a_key_is_a_job_of_its_own() -> None:
    """Overwriting an object while its job waits mixes nothing. Each job reads its own version."""
    world = World(max_records=7)
    world.recipe()
    first = world.drop("in.jsonl", b'{"text": "old"}\n')
    second = world.drop("in.jsonl", b'{"text": "new"}\n')
    world.run()
    assert (texts(world.rows(first)), texts(world.rows(second))) == (["old"], ["new"])


def test_without_versions_an_overwritten_object_fails_in_words() -> None:
    """In a bucket without versions the old content is gone. Its job says so, and the new one succeeds."""
    world = World(versioned=False, max_records=7)
    world.recipe()
    first = world.drop("in.jsonl", b'{"text": "old"}\n')
    second = world.drop("in.jsonl", b'{"text": "new"}\n')
    world.run()
    assert (world.job(first).state, world.job(first).code) == (state_machine.FAILED, "changed")
    assert texts(world.rows(second)) == ["new"]


@pytest.mark.parametrize(
    "name", ["a b.jsonl", "a+b.jsonl", "100%.jsonl", "日本語 ü.jsonl", "x/y//z.jsonl", "a%2Fb.jsonl"]
)
def test_any_key_is_read(name: str) -> None:
    """A key with spaces, plus, percent, slashes or Unicode names its object."""
    world = World(max_records=7)
    world.recipe()
    job = world.drop(name, b'{"text": "a"}\n')
    world.run()
    assert world.rows(job)[0]["source"]["key"] == f"t/local/inbox/topics/{name}"


def test_an_id_of_broken_unicode_fails_alone() -> None:
    """An id that no row can hold fails its record, and not the shard."""
    world = World(max_records=7)
    world.recipe()
    job = world.drop("in.jsonl", b'{"text": "a", "id": 1}\n{"text": "b", "id": "\\ud800"}\n{"text": "c", "id": 3}\n')
    world.run()
    rows = world.rows(job)
    assert world.job(job).state == state_machine.PARTIALLY_SUCCEEDED
    assert [row.get("id") for row in rows] == [1, None, 3]
    assert ["error" in row for row in rows] == [False, True, False]


def test_a_bad_record_fails_alone() -> None:
    """Broken JSON, bad UTF-8, empty text and a missing field give error rows. The other records succeed."""
    world = World(max_records=7)
    world.recipe()
    bad = [
        b'{"text": "a\n',
        b'{"text": "\xff"}\n',
        b"\n",
        b'{"text": "  "}\n',
        b'{"id": 3}\n',
        b'{"text": "\\udc00"}\n',
    ]
    good = [f'{{"text": "g{i}"}}\n'.encode() for i in range(7)]
    job = world.drop("in.jsonl", b"".join(part for pair in zip(good, [*bad, b""], strict=True) for part in pair))
    world.run()
    expected: list[str | None] = []
    for i in range(6):
        expected += [f"g{i}", None]
    assert_whole(world, job, [*expected, "g6"])
    assert world.job(job).state == state_machine.PARTIALLY_SUCCEEDED
    codes = [row["error"]["code"] for row in world.rows(job) if "error" in row]
    assert codes == ["broken-json", "invalid-utf8", "broken-json", "empty-text", "wrong-type", "invalid-text"]


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("empty.jsonl", b"", "empty-object"),
        ("empty.txt.gz", gzip.compress(b"", mtime=0), "empty-object"),
        ("binary.txt", bytes(range(256)), "binary"),
        ("picture.txt", b"\x89PNG\r\n\x1a\n", "binary"),
        ("report.pdf", b"%PDF-1.7", "wrong-extension"),
        ("packed.jsonl.gz", b"this is not gzip", "broken-gzip"),
        ("encoded.jsonl", gzip.compress(b'{"text": "a"}', mtime=0), "binary"),
    ],
)
def test_an_object_that_cannot_be_read_fails_its_job_in_words(name: str, data: bytes, code: str) -> None:
    """Empty, binary, broken and other objects end FAILED, with a reason and a manifest."""
    world = World(max_records=7)
    world.recipe()
    job = world.drop(name, data)
    world.run(copies=2)
    status, body = world.ask("GET", f"/v1/jobs/{job}")
    assert (status, body["state"], body["error"]["code"]) == (200, state_machine.FAILED, code)
    assert body["error"]["detail"].startswith(f"{name}: got ")
    assert world.manifest(job)["inputs"][0]["error"]["code"] == code
    assert world.ask("GET", f"/v1/jobs/{job}/results")[1]["parts"] == []


def test_an_object_without_recipe_is_a_failed_job() -> None:
    """Who puts an object into the wrong folder learns why there is no result."""
    world = World(max_records=7)
    job = world.drop("in.jsonl", JSONL, recipe="nosuch")
    world.run()
    assert (world.job(job).state, world.job(job).code) == (state_machine.FAILED, "no-recipe")
    assert world.ask("GET", f"/v1/jobs/{job}/results")[1]["manifest"] is None


def test_an_object_that_was_deleted_fails_its_job() -> None:
    """It was deleted before it was read."""
    world = World(max_records=7)
    world.recipe()
    job = world.drop("in.jsonl", JSONL)
    world.objects.delete(world.effects.input_bucket, keys.inbox_key(TENANT, "topics", "in.jsonl"))
    world.run()
    assert (world.job(job).state, world.job(job).code) == (state_machine.FAILED, "not-found")


def test_an_object_that_vanishes_between_plan_and_work_gives_error_rows() -> None:
    """Records that were planned and can no longer be read still have a row each."""
    world = World(max_records=7)
    world.recipe()
    job = world.drop("in.jsonl", JSONL)
    world.deliver("plan")
    world.deliver("work")
    world.objects.delete(world.effects.input_bucket, keys.inbox_key(TENANT, "topics", "in.jsonl"))
    world.run()
    assert_whole(world, job, [*LINES[:7], *[None] * 33])
    assert world.rows(job)[39]["error"]["code"] == "source-gone"
    assert world.job(job).state == state_machine.PARTIALLY_SUCCEEDED


@pytest.mark.parametrize(("text", "expected"), [("document", ["one\ntwo\n"]), ("lines", ["one", "two"])])
@pytest.mark.parametrize("packed", [False, True])
def test_text_is_a_document_or_a_record_a_line(text: str, expected: list[str | None], *, packed: bool) -> None:
    """The recipe says which, for compressed objects too."""
    world = World(max_records=7)
    world.recipe(text=text)
    data = b"\xef\xbb\xbfone\ntwo\n"
    job = world.drop("in.txt.gz" if packed else "in.txt", gzip.compress(data) if packed else data)
    world.run()
    assert_whole(world, job, expected)
    assert ("line" in world.rows(job)[0]["source"]) == (text == "lines")


def test_compressed_objects_give_the_same_rows() -> None:
    """Staged shards of a .gz object give the same rows as ranges of the plain object."""
    world = World(max_records=7)
    world.recipe()
    plain, packed = world.drop("in.jsonl", JSONL), world.drop("in.jsonl.gz", gzip.compress(JSONL))
    world.run(copies=2)
    strip = [{**row, "source": row["source"]["line"]} for row in world.rows(plain)]
    assert [{**row, "source": row["source"]["line"]} for row in world.rows(packed)] == strip


def test_a_gzip_that_breaks_off_keeps_what_came_before() -> None:
    """Shards planned before the break are answered. The job says that the object is broken."""
    world = World(max_records=7)
    world.recipe()
    data = b"".join(f'{{"text": "{hashlib.sha256(b"%d" % i).hexdigest()}"}}\n'.encode() for i in range(400))
    job = world.drop("in.jsonl.gz", gzip.compress(data)[:-100])
    world.run()
    found = world.job(job)
    assert (found.state, found.code) == (state_machine.PARTIALLY_SUCCEEDED, "broken-gzip")
    assert 100 < found.records_ok < 400
    assert_whole(world, job, [hashlib.sha256(b"%d" % i).hexdigest() for i in range(found.n_records)])


def test_planning_stops_in_time_and_goes_on() -> None:
    """A planner without time keeps its checkpoint and sends a message. The plan is the same in the end."""
    world, straight = World(max_records=7), World(max_records=7)
    data = b"".join(f'{{"text": "{i}"}}\n'.encode() for i in range(500))
    for each in (world, straight):
        each.recipe()
    job, other = world.drop("in.jsonl", data), straight.drop("in.jsonl", data)
    straight.run()
    left = iter([100.0, 100.0, 100.0, 5.0] * 50)
    for _ in range(50):
        event = world.queue.receive("plan")
        if event is None:
            break
        world.queue.acknowledge("plan", event, world.planner.handle_event(event, lambda: next(left)))
    assert world.job(job).state == state_machine.RUNNING
    world.run()
    assert world.shards(job)
    assert [s.shard for s in world.shards(job)] == [s.shard for s in straight.shards(other)]
    assert world.rows(job) == straight.rows(other)
