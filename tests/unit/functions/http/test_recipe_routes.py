"""The routes of recipes: create, list and delete. A recipe never changes."""

from __future__ import annotations

import pytest

from tests.unit.functions.http.test_jobs_routes import world
from tests.unit.functions.jobs.world import World, texts

__all__ = ["world"]  # a fixture


def test_recipes(world: World) -> None:
    """A recipe is created, found, listed by name and deleted, but not changed. An object in its inbox becomes a job."""
    recipe = {"name": "news", "task": "text-classification", "format": {"text": "lines"}}
    status, made = world.ask("POST", "/v1/recipes", recipe)
    assert (status, made["inbox"]) == (201, "s3://input/t/local/inbox/news/")
    assert world.ask("POST", "/v1/recipes", recipe)[0] == 200
    status, problem = world.ask("POST", "/v1/recipes", recipe | {"format": {"text": "document"}})
    assert (status, "delete it first" in problem["detail"]) == (409, True)
    assert world.ask("POST", "/v1/recipes", recipe | {"name": "A B"})[0] == 422
    world.ask("POST", "/v1/recipes", recipe | {"name": "alpha"})
    assert [each["name"] for each in world.ask("GET", "/v1/recipes")[1]["recipes"]] == ["alpha", "news"]
    _, page = world.ask("GET", "/v1/recipes", queryStringParameters={"page_size": "1"})
    _, rest = world.ask("GET", "/v1/recipes", queryStringParameters={"page_size": "1", "cursor": page["next"]})
    assert [each["name"] for each in rest["recipes"]] == ["news"]
    job = world.drop("in.txt", b"a\nb\n", recipe="news")
    world.run()
    assert texts(world.rows(job)) == ["a", "b"]
    assert world.ask("DELETE", "/v1/recipes/news")[0] == 200
    assert world.ask("DELETE", "/v1/recipes/news")[0] == 404
    assert world.ask("DELETE", "/v1/recipes/A%20B")[0] == 404


@pytest.mark.parametrize("n_chars", [64, 1100, 5000])
def test_a_recipe_name_that_no_table_key_can_hold_is_not_found(world: World, n_chars: int) -> None:
    """Deleting a name that no recipe can have is a 404, however long it is."""
    status, problem = world.ask("DELETE", "/v1/recipes/" + "a" * n_chars)
    assert (status, problem["code"]) == (404, "not-found")
    assert len(problem["detail"]) < 100
