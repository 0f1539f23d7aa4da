"""The pages of the jobs API: jobs, parts and error rows by cursor, and which query parameters are accepted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.jobs.api.pages import decode_cursor, encode_cursor
from shared.errors import Unprocessable
from tests.unit.functions.http.test_jobs_routes import create, upload, world
from tests.unit.functions.jobs.world import World

__all__ = ["world"]  # a fixture


def test_results_come_in_pages(world: World) -> None:
    """A cursor leads through the parts of many shards, in order, none twice."""
    _, made = create(world, files=[f"{i}.txt" for i in range(5)])
    upload(world, made, *[b"text"] * 5)
    world.ask("POST", made["start"])
    world.run()
    found, cursor = [], None
    for _ in range(9):
        query = {"page_size": "2"} | ({"cursor": cursor} if cursor else {})
        _, page = world.ask("GET", f"/v1/jobs/{made['job']}/results", queryStringParameters=query)
        found += [part["first_index"] for part in page["parts"]]
        if (cursor := page["next"]) is None:
            break
    assert found == [0, 1, 2, 3, 4]


def test_jobs_are_listed_newest_first_in_pages(world: World) -> None:
    """A cursor leads to every job once, whatever was created meanwhile."""
    made = []
    for _ in range(7):
        made.append(create(world)[1]["job"])
        world.clock.pass_s(1)
    found, cursor = [], ""
    for _ in range(9):
        query = {"page_size": "3"} | ({"cursor": cursor} if cursor else {})
        _, page = world.ask("GET", "/v1/jobs", queryStringParameters=query)
        found += [job["job"] for job in page["jobs"]]
        create(world)
        world.clock.pass_s(1)
        if (cursor := page["next"]) is None:
            break
    assert found == made[::-1]


@pytest.mark.parametrize(
    "query",
    [{"page_size": "0"}, {"page_size": "101"}, {"page_size": "x"}, {"cursor": "!"}, {"cursor": "YWJj"}, {"cursor": ""}],
)
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/recipes"])
def test_bad_pages_are_refused(world: World, query: dict[str, str], path: str) -> None:
    """Sizes out of range and cursors that are not ours are a 422."""
    assert world.ask("GET", path, queryStringParameters=query)[0] == 422


@pytest.mark.parametrize(
    "path", ["/v1/jobs", "/v1/recipes", f"/v1/jobs/{'0' * 32}/results", f"/v1/jobs/{'0' * 32}/errors"]
)
def test_a_page_takes_two_query_parameters_and_no_other(world: World, path: str) -> None:
    """Another parameter is refused, and the error names the known ones."""
    status, problem = world.ask("GET", path, queryStringParameters={"page_size": "2", "limit": "2"})
    assert (status, problem["detail"]) == (422, "got the query parameter 'limit', expected page_size or cursor")


def test_a_parameter_with_two_values_is_refused(world: World) -> None:
    """Neither value is chosen silently. The same value twice is allowed."""
    for values, status in (["2", "1"], 422), (["1", "1"], 200):
        query = {"queryStringParameters": {"page_size": "1"}, "multiValueQueryStringParameters": {"page_size": values}}
        assert world.ask("GET", "/v1/jobs", **query)[0] == status


def test_a_signature_in_the_query_is_the_gateways(world: World) -> None:
    """A request that is signed in its query is answered as one that is signed in a header."""
    assert world.ask("GET", "/v1/jobs", queryStringParameters={"X-Amz-Signature": "ab"})[0] == 200


@given(st.from_regex(r"[0-9]{14}/[0-9a-f]{32}", fullmatch=True), st.text(max_size=20))
def test_cursors_lead_back_and_nothing_else_does(sort_key: str, other: str) -> None:
    """A cursor can be read back. Any other text is refused, or is such a key."""
    pattern = r"[0-9]{14}/[0-9a-f]{32}"
    assert decode_cursor({"cursor": encode_cursor(sort_key) or ""}, pattern) == sort_key
    assert decode_cursor({}, pattern) is None
    with pytest.raises(Unprocessable):
        decode_cursor({"cursor": other}, pattern)


@pytest.mark.parametrize("output", ["jsonl", "csv", "jsonl.gz"])
def test_errors_come_in_pages(output: str) -> None:
    """A cursor leads to every error row once, in every format. Parts without errors are not read."""
    world = World(max_records=2)
    _, made = create(world, files=["in.csv"], output=output)
    upload(world, made, b"id,text\n" + b"1,good\n2,\n3,good\n4,good\n5,\n6,\n" * 3)
    path = f"/v1/jobs/{made['job']}/errors"
    assert world.ask("GET", path)[0] == 409
    world.ask("POST", made["start"])
    world.run()
    found, cursor = [], ""
    for _ in range(20):
        query = {"page_size": "2"} | ({"cursor": cursor} if cursor else {})
        status, page = world.ask("GET", path, queryStringParameters=query)
        assert (status, len(page["errors"]) <= 3) == (200, True)
        found += [(row["index"], row["id"], row["error"]["code"]) for row in page["errors"]]
        if (cursor := page["next"]) is None:
            break
    wanted = [(i, name) for base in (0, 6, 12) for i, name in ((base + 1, "2"), (base + 4, "5"), (base + 5, "6"))]
    assert found == [(i, name, "empty-text") for i, name in wanted]
    assert world.ask("GET", path, queryStringParameters={"cursor": "YWJj"})[0] == 422
