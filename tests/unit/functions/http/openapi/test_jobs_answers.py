"""What the jobs API answers on the way of a job fits the document, to the last field."""

from __future__ import annotations

from typing import Any

from functions.http.openapi_document import document
from functions.jobs.state import state_machine
from tests.unit.functions.http.openapi.test_examples import answer_schema, assert_fits
from tests.unit.functions.jobs.world import World


def ask(world: World, method: str, path: str, body: object = None, **changes: Any) -> Any:
    """Send a request; return its answer, which must fit the document."""
    status, answer = world.ask(method, path, body, **changes)
    parts = path.split("/")
    documented = "/".join(["{job}" if len(part) == 32 else "{name}" if part == "mine" else part for part in parts])
    assert status < 300, answer
    assert_fits(answer, answer_schema(documented, status, method.lower()))
    return answer


def test_every_answer_on_the_way_of_a_job_fits() -> None:
    """Made, uploaded, started, run with an error, redriven, read, deleted."""
    world = World()
    body = {"task": "text-classification", "files": ["a.jsonl"]}
    made = ask(world, "POST", "/v1/jobs", body, headers={"Idempotency-Key": "once"})
    assert ask(world, "POST", "/v1/jobs", body, headers={"Idempotency-Key": "once"}) == made
    key = made["uploads"][0]["fields"]["key"]
    world.objects.put(world.effects.input_bucket, key, b'{"text": "a", "id": 7}\n{"text": 3}\n')
    path = f"/v1/jobs/{made['job']}"
    ask(world, "GET", path)
    ask(world, "POST", f"{path}/start")
    world.run()
    assert ask(world, "GET", path)["state"] == "PARTIALLY_SUCCEEDED"
    assert ask(world, "GET", f"{path}/results")["parts"]
    assert ask(world, "GET", f"{path}/errors")["errors"]
    ask(world, "POST", f"{path}/redrive")
    world.run()
    assert ask(world, "GET", "/v1/jobs")["jobs"]
    ask(world, "DELETE", path)


def test_every_answer_about_recipes_and_their_jobs_fits() -> None:
    """A job of a recipe has fields of its own, and so has one over a prefix, and one that was stopped."""
    world = World()
    recipe = {"name": "mine", "task": "text-classification", "format": {"text": "lines"}}
    assert ask(world, "POST", "/v1/recipes", recipe) == ask(world, "POST", "/v1/recipes", recipe)
    assert ask(world, "GET", "/v1/recipes")["recipes"]
    job = world.drop("a.pdf", b"%PDF", "mine")
    world.run()
    assert ask(world, "GET", f"/v1/jobs/{job}")["recipe"] == "mine"
    ask(world, "GET", f"/v1/jobs/{job}/results")
    ask(world, "DELETE", "/v1/recipes/mine")
    stopped = ask(world, "POST", "/v1/jobs", {"task": "fill-mask", "prefix": "x/"})["job"]
    assert ask(world, "POST", f"/v1/jobs/{stopped}/cancel")["state"] == "CANCELLED"


def test_the_document_knows_the_states_that_callers_see() -> None:
    """A job that is being deleted is none for a caller."""
    states = document()["components"]["schemas"]["Job"]["properties"]["state"]["enum"]
    assert set(states) == state_machine.JOB_MOVES.keys() - state_machine.GONE
