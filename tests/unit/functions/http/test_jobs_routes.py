"""The jobs API: what it creates, refuses and shows. Each request is a raw event of API Gateway."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from functions.jobs.state import state_machine
from shared.errors import Unprocessable
from tests.unit.functions.jobs.state.test_state_machine import JOB
from tests.unit.functions.jobs.world import World, texts

BODY: dict[str, Any] = {"task": "text-classification"}


@pytest.fixture
def world() -> World:
    """Return an empty world."""
    return World()


def create(world: World, token: str = "", **changes: Any) -> tuple[int, Any]:
    """Create a job."""
    headers = {"Idempotency-Key": token} if token else {}
    return world.ask("POST", "/v1/jobs", BODY | changes, headers=headers)


def upload(world: World, made: dict[str, Any], *contents: bytes) -> None:
    """Upload a job's files with its forms."""
    for form, data in zip(made["uploads"], contents, strict=True):
        world.objects.put(world.effects.input_bucket, form["fields"]["key"], data)


def test_a_job_from_creation_to_results(world: World) -> None:
    """Created, uploaded, started, answered, read. Each answer says what comes next."""
    status, made = create(world, files=["b.txt", "a.jsonl"], format={"text": "lines"})
    assert (status, made["state"], made["model"]) == (201, "CREATED", "mini:topic")
    assert [form["fields"]["key"] for form in made["uploads"]] == [
        f"t/local/jobs/{made['job']}/input/{name}" for name in ("b.txt", "a.jsonl")
    ]
    upload(world, made, b"c\nd", b'{"text": "a"}\n{"text": "b", "id": 9}\n')
    status, started = world.ask("POST", made["start"])
    assert (status, started["state"]) == (202, "SUBMITTED")
    world.run()
    status, shown = world.ask("GET", started["status"])
    assert (status, shown["state"], shown["progress"], shown["eta_s"]) == (200, "SUCCEEDED", 1.0, 0.0)
    assert shown["counts"] == {
        "records": 4, "succeeded": 4, "failed": 0, "shards": 2, "shards_done": 2, "shards_failed": 0,
        "unreadable_inputs": 0,
    }  # fmt: skip
    assert texts(world.rows(made["job"])) == ["a", "b", "c", "d"]
    status, results = world.ask("GET", f"{started['status']}/results")
    assert status == 200
    assert [part["first_index"] for part in results["parts"]] == [0, 2]
    assert results["manifest"]["url"].startswith("memory://output/t/local/jobs/")
    assert results["next"] is None


def test_the_same_token_and_body_is_the_same_job(world: World) -> None:
    """A repeated request finds its job, with its uploads while it waits. The order of fields does not matter."""
    first = create(world, "key-1", files=["a.txt"], parameters={"top_k": 2})
    again = world.ask(
        "POST",
        "/v1/jobs",
        {"parameters": {"top_k": 2}, "files": ["a.txt"], **BODY},
        headers={"idempotency-key": "key-1"},
    )
    assert (first[0], again[0]) == (201, 200)
    assert again[1] == first[1]
    other = create(world, "key-2", files=["a.txt"], parameters={"top_k": 2})
    assert other[1]["job"] != first[1]["job"]
    upload(world, first[1], b"text")
    world.ask("POST", first[1]["start"])
    assert create(world, "key-1", files=["a.txt"], parameters={"top_k": 2})[1]["uploads"] == []


@pytest.mark.parametrize("change", [{"parameters": {"top_k": 3}}, {"files": ["b.txt"]}, {"task": "feature-extraction"}])
def test_the_same_token_with_another_body_is_refused(world: World, change: dict[str, Any]) -> None:
    """A token stands for one request."""
    create(world, "key-1", files=["a.txt"])
    status, problem = create(world, "key-1", **({"files": ["a.txt"]} | change))
    assert status == 422
    assert "Idempotency-Key" in problem["detail"]


def test_a_token_of_a_deleted_job_makes_no_other(world: World) -> None:
    """Whatever the body is, the answer is a conflict that expects a new key."""
    _, made = create(world, "key-1", files=["a.txt"])
    assert world.ask("DELETE", f"/v1/jobs/{made['job']}")[0] == 200
    for files in (["a.txt"], ["b.txt"]):
        status, problem = create(world, "key-1", files=files)
        assert (status, "expected a new key" in problem["detail"]) == (409, True)


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({"task": "nosuch"}, 404, "text-classification"),
    ({"task": 5}, 422, "task"),
    ({"model": "nosuch"}, 404, "mini"),
    ({"model": "mini:nosuch"}, 404, "topic"),
    ({"model": "mini:embed"}, 422, "feature-extraction"),
    ({"model": ""}, 422, "model"),
    ({"model": "mini:"}, 422, "'mini:', expected"),
    ({"parameters": {"top_k": 0}}, 422, "top_k"),
    ({"parameters": {"nosuch": 1}}, 422, "nosuch"),
    ({"parameters": []}, 422, "parameters"),
    ({"format": {"text": "words"}}, 422, "format.text"),
    ({"format": {"nosuch": 1}}, 422, "format.nosuch"),
    ({"files": []}, 422, "files"),
    ({"files": ["a.txt", "a.txt"]}, 422, "2 file names"),
    ({"files": ["../a.txt"]}, 422, "'../a.txt'"),
    ({"files": ["${filename}.txt"]}, 422, "filename"),
    ({"files": ["a.pdf"]}, 422, "expected one of .txt"),
    ({"files": ["a.txt"] * 101}, 422, "files"),
    ({"files": "a.txt"}, 422, "files"),
    ({"nosuch": 1}, 422, "nosuch"),
]


@pytest.mark.parametrize(("change", "status", "word"), BAD)
def test_bad_requests_are_refused_in_words(world: World, change: dict[str, Any], status: int, word: str) -> None:
    """Each is a 4xx that names the value or what was expected, and creates nothing."""
    got, problem = create(world, **change)
    assert (got, problem["status"]) == (status, status)
    assert word in problem["detail"]
    assert world.ask("GET", "/v1/jobs")[1]["jobs"] == []


@pytest.mark.parametrize(("body", "found"), [({}, "nothing"), ({"task": None}, "null"), ({"task": 5}, "5")])
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/recipes"])
def test_the_error_of_a_body_without_a_task_lists_the_tasks(
    world: World, path: str, body: dict[str, Any], found: str
) -> None:
    """The error lists the tasks, and everything else that is wrong."""
    status, problem = world.ask("POST", path, {**body, "output": "xml"})
    errors = {error["field"]: error for error in problem["errors"]}
    assert (status, errors["task"]["got"], "output" in errors) == (422, found, True)
    assert errors["task"]["expected"].startswith("one of feature-extraction, ")


def test_a_task_where_none_is_read_is_an_unknown_field(world: World) -> None:
    """The error lists no tasks, as a task would not be accepted there either."""
    problem = world.ask("POST", f"/v1/jobs/{'0' * 32}/redrive", {"task": "fill-mask"})[1]
    assert problem["detail"] == "task: got an unknown field, expected only the documented ones"


@pytest.mark.parametrize("token", ["", "a b", "ü", "x" * 256])
def test_malformed_tokens_are_refused(world: World, token: str) -> None:
    """A token has 1 to 255 visible ASCII characters. An empty one is not the same as none."""
    status, problem = world.ask("POST", "/v1/jobs", BODY, headers={"Idempotency-Key": token})
    assert (status, "expected 1 to 255 visible ASCII ones" in problem["detail"]) == (422, True)


def test_a_job_does_not_start_without_its_uploads(world: World) -> None:
    """The error names what is missing. After the upload the job starts, and starting it again changes nothing."""
    _, made = create(world, files=["a.txt", "b.txt"])
    status, problem = world.ask("POST", made["start"])
    assert status == 409
    assert "got 0 of 2 files uploaded" in problem["detail"]
    world.objects.put(world.effects.input_bucket, made["uploads"][0]["fields"]["key"], b"a")
    status, problem = world.ask("POST", made["start"])
    assert (status, "missing: 'b.txt'" in problem["detail"]) == (409, True)
    world.objects.put(world.effects.input_bucket, made["uploads"][1]["fields"]["key"], b"b")
    assert [world.ask("POST", made["start"])[0] for _ in range(3)] == [202, 202, 202]
    world.run()
    assert texts(world.rows(made["job"])) == ["a", "b"]
    assert world.ask("POST", made["start"])[0] == 409


def test_uploads_do_not_start_a_job_by_themselves(world: World) -> None:
    """The event of an upload is acknowledged and starts nothing."""
    _, made = create(world)
    upload(world, made, b'{"text": "a"}\n')
    key = made["uploads"][0]["fields"]["key"]
    stored = world.objects.head(world.effects.input_bucket, key)
    assert stored is not None
    world.announce(key, stored.size_bytes, stored.etag, stored.version)
    world.run()
    assert world.job(made["job"]).state == state_machine.CREATED


def test_an_upload_after_the_plan_changes_nothing(world: World) -> None:
    """Pinned versions are read. Later uploads are not."""
    _, made = create(world, files=["a.txt"])
    upload(world, made, b"before")
    world.ask("POST", made["start"])
    world.deliver("plan")
    upload(world, made, b"after")
    world.objects.put(world.effects.input_bucket, f"t/local/jobs/{made['job']}/input/z.txt", b"late")
    world.run()
    assert texts(world.rows(made["job"])) == ["before"]


def test_results_wait_for_the_end(world: World) -> None:
    """A job that goes on answers 409 with its state."""
    _, made = create(world)
    status, problem = world.ask("GET", f"/v1/jobs/{made['job']}/results")
    assert (status, "CREATED" in problem["detail"]) == (409, True)


def test_cancel(world: World) -> None:
    """Before the start it takes effect at once. Cancelling again is no error. An ended job is a 409."""
    _, made = create(world)
    path = f"/v1/jobs/{made['job']}"
    assert [world.ask("POST", f"{path}/cancel")[1]["state"] for _ in range(2)] == ["CANCELLED", "CANCELLED"]
    assert world.ask("POST", f"{path}/start")[0] == 409
    assert world.ask("GET", f"{path}/results")[1]["manifest"] is None
    world.recipe()
    job = world.drop("in.jsonl", b'{"text": "a"}\n')
    world.run()
    status, problem = world.ask("POST", f"/v1/jobs/{job}/cancel")
    assert (status, "SUCCEEDED" in problem["detail"]) == (409, True)


FOREIGN = [
    ("GET", ""), ("GET", "/results"), ("GET", "/errors"), ("POST", "/start"), ("POST", "/cancel"), ("POST", "/redrive"),
    ("DELETE", ""),
]  # fmt: skip


@pytest.mark.parametrize(("method", "rest"), FOREIGN)
@pytest.mark.parametrize("name", ["f" * 32, "x", "..", "%2e%2e", "0" * 33])
def test_foreign_and_unknown_ids_are_404(world: World, method: str, rest: str, name: str) -> None:
    """Another tenant's job and an unknown job have the same answer."""
    foreign = replace(JOB, tenant="other", job="f" * 32, state=state_machine.CREATED)
    world.effects.table.write(*state_machine.create(foreign))
    status, problem = world.ask(method, f"/v1/jobs/{name}{rest}")
    assert (status, problem["code"]) == (404, "not-found")
    assert world.ask("GET", "/v1/jobs")[1]["jobs"] == []


def test_redrive(world: World) -> None:
    """Failed records are answered again once, also after repeated requests. `generation` names the end to redrive."""
    world.recipe()
    world.echo.poison, world.echo.poison_error = "bad", lambda: Unprocessable("no")
    job = world.drop("in.jsonl", b'{"text": "good"}\n{"text": "bad"}\n')
    world.run()
    assert world.job(job).state == state_machine.PARTIALLY_SUCCEEDED
    world.echo.poison_error = None
    answers = [world.ask("POST", f"/v1/jobs/{job}/redrive", {"generation": 0}) for _ in range(2)]
    assert [(status, answer["begun"], answer["generation"]) for status, answer in answers] == [
        (202, True, 1), (202, False, 1),
    ]  # fmt: skip
    world.run()
    assert world.ask("POST", f"/v1/jobs/{job}/redrive", {"generation": 0})[1]["begun"] is False
    assert world.ask("POST", f"/v1/jobs/{job}/redrive")[1]["begun"] is False
    status, shown = world.ask("GET", f"/v1/jobs/{job}")
    assert (status, shown["state"], shown["counts"]["succeeded"]) == (200, "SUCCEEDED", 2)
    assert world.ask("POST", f"/v1/jobs/{job}/redrive", {"generation": "x"})[0] == 422


def test_a_deleted_job_is_unknown_at_once(world: World) -> None:
    """From the answer on it is a 404 and in no list, and its results go. A job that goes on is a 409."""
    _, made = create(world, files=["a.txt"])
    upload(world, made, b"text")
    path = f"/v1/jobs/{made['job']}"
    world.ask("POST", made["start"])
    assert world.ask("DELETE", path)[0] == 409
    world.run()
    part = world.ask("GET", f"{path}/results")[1]["parts"][0]["key"]
    assert world.ask("DELETE", path)[0] == 200
    assert [world.ask("GET", path + rest)[0] for rest in ("", "/results", "/errors")] == [404] * 3
    assert world.ask("GET", "/v1/jobs")[1]["jobs"] == []
    world.run()
    assert world.effects.objects.head("output", part) is None
    assert world.effects.objects.head("input", made["uploads"][0]["fields"]["key"]) is None
