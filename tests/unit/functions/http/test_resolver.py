"""The resolver answers with JSON or problem details, and writes no text of a caller into the log."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Annotated, Any

import pytest
from aws_lambda_powertools.event_handler.exceptions import BadRequestError, InternalServerError
from pydantic import BaseModel, ConfigDict, Field

from functions.http.resolver import Resolver, deadline, request_id, server_timing
from shared.errors import BY_CODE, GlossaError, Overloaded
from shared.limits import MAX_ANSWER_BYTES
from tests.events import FakeContext, event, request

CANARY = "canary-7f3a text that no log may hold"


class Recipe(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(min_length=1)]
    top_k: Annotated[int, Field(ge=1, le=10)] = 5


def _app() -> Resolver:
    """Make a small API with one route for each kind of outcome."""
    api = Resolver("test")

    @api.post("/v1/echo")
    def echo() -> object:
        return api.ok(api.json())

    @api.post("/v1/recipes")
    def recipes() -> object:
        return api.ok(Recipe.model_validate(api.json()).model_dump(), status=201)

    @api.post("/v1/crash")
    def crash() -> object:
        raise RuntimeError(f"failed at {api.json()}")

    @api.post("/v1/raise/<code>")
    def fail(code: str) -> object:
        quote = str(api.json().get("quote", code))
        raise BY_CODE[code](f"got {quote}, expected something else", hint="try again", retry_after_s=0.2)

    @api.post("/v1/service/<status>")
    def service(status: str) -> object:
        raise BadRequestError("no good") if status == "400" else InternalServerError("secret")

    @api.get("/v1/nan")
    def nan() -> object:
        return api.ok({"score": float("nan")})

    @api.get("/v1/large")
    def large() -> object:
        return api.ok("x" * MAX_ANSWER_BYTES)

    @api.get("/v1/timed")
    def add_timings() -> object:
        api.add_timings(tokenize=0.0012, infer=0.5)
        raise Overloaded("got 9 tokens, at most 8", retry_after_s=2.1)

    return api


def _answer(raw: Any, api: Resolver | None = None) -> tuple[int, dict[str, Any], dict[str, str]]:
    made = (api or _app()).resolve(raw, FakeContext())
    headers = {name.lower(): value[0] for name, value in made["multiValueHeaders"].items()}
    return made["statusCode"], json.loads(made["body"]), headers


def test_success_is_json_with_the_request_id() -> None:
    """A valid request is answered with JSON in UTF-8 and with the request id of API Gateway."""
    status, body, headers = _answer(request("POST", "/v1/echo", '{"a": "日本 é"}'))
    assert (status, body) == (200, {"a": "日本 é"})
    assert headers["content-type"] == "application/json"
    assert headers["x-request-id"] == event("rest_post")["requestContext"]["requestId"]


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_every_error_of_the_tree_is_one_problem(code: str) -> None:
    """Each error class has its own status and code in problem details. Retry-After is rounded up to whole seconds."""
    status, body, headers = _answer(request("POST", f"/v1/raise/{code}", "{}"))
    assert status == BY_CODE[code].status == body["status"]
    assert (body["code"], body["hint"]) == (code, "try again")
    assert body["type"] == f"urn:glossa:error:{code}"
    assert body["instance"].startswith("urn:glossa:request:c6af")
    assert headers["content-type"] == "application/problem+json"
    assert headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, [{"field": "name", "got": "nothing", "expected": "a value"}]),
        (
            {"name": "a", "top_k": 99},
            [{"field": "top_k", "got": "99", "expected": "less than or equal to 10"}],
        ),
        (
            {"name": 3, "colour": 1},
            [
                {"field": "name", "got": "3", "expected": "a string"},
                {"field": "colour", "got": "an unknown field", "expected": "only the documented ones"},
            ],
        ),
        ({"name": ""}, [{"field": "name", "got": "''", "expected": "at least 1 character"}]),
    ],
)
def test_invalid_fields_are_listed(body: dict[str, object], errors: list[dict[str, str]]) -> None:
    """A body that does not fit its model is a 422. It names each field, its value and what was expected."""
    status, problem, _ = _answer(request("POST", "/v1/recipes", json.dumps(body)))
    assert status == 422
    assert problem["errors"] == errors
    assert "expected" in problem["detail"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/recipes", {"name": "a"} | dict.fromkeys(map(str, range(50_000)), 1)),
        ("/v1/recipes", {"name": "a", "ሴ" * 1_000_000: 1}),
        ("/v1/raise/not-found", {"quote": "ሴ" * 1_000_000}),
    ],
)
def test_no_error_grows_with_what_it_quotes(path: str, body: dict[str, object]) -> None:
    """An error answer stays small, however many errors a body has and however long the quoted value is."""
    raw = _app().resolve(request("POST", path, json.dumps(body, ensure_ascii=False)), FakeContext())
    assert 400 <= raw["statusCode"] < 500
    assert len(raw["body"]) < 50_000


def test_a_crash_is_a_problem_without_internals() -> None:
    """The answer to an unexpected error shows no detail of it. The next request is answered."""
    api = _app()
    status, problem, _ = _answer(request("POST", "/v1/crash", '{"a": "secret"}'), api)
    assert (status, problem["code"]) == (500, "internal")
    assert "secret" not in json.dumps(problem)
    assert _answer(request("POST", "/v1/echo", "{}"), api)[0] == 200


@pytest.mark.parametrize("raw", [{}, [], None, {"httpMethod": "GET"}, {"path": 3, "httpMethod": 4, "body": "x"}])
def test_an_event_that_is_no_request_is_answered(raw: object) -> None:
    """An event that API Gateway never sends gets an answer, not a traceback."""
    assert _answer(raw)[0] == 500


def test_unknown_route_is_404_and_wrong_method_405() -> None:
    """An unknown path is a 404. A known path with a wrong method is a 405 that names the allowed methods."""
    assert _answer(request("GET", "/v1/nowhere"))[1]["code"] == "not-found"
    status, problem, headers = _answer(request("DELETE", "/v1/echo"))
    assert (status, problem["code"], headers["allow"]) == (405, "method-not-allowed", "OPTIONS, POST")


@pytest.mark.parametrize(("route", "status"), [("400", 400), ("500", 500)])
def test_errors_of_the_resolver_library_are_problems_too(route: str, status: int) -> None:
    """Errors that Powertools raises become problem details."""
    assert _answer(request("POST", f"/v1/service/{route}", "{}"))[1]["status"] == status


def test_a_body_in_an_unknown_coding_is_a_415_that_names_it() -> None:
    """The content-encoding header is checked before the bytes are read as text."""
    compressed = {"isBase64Encoded": True, "headers": {"Content-Encoding": "br"}}
    status, problem, _ = _answer(request("POST", "/v1/echo", "H4sI", **compressed))
    assert (status, problem["code"]) == (415, "unsupported-media")
    assert "'br'" in problem["detail"]


def test_a_body_in_gzip_is_unpacked() -> None:
    """Clients that pack their bodies get the same answer."""
    packed = base64.b64encode(gzip.compress(b'{"a": 1}')).decode()
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    assert (
        _answer(request("POST", "/v1/echo", packed, isBase64Encoded=True, headers=headers))[:2]
        == _answer(request("POST", "/v1/echo", '{"a": 1}'))[:2]
    )


@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/v1/nowhere", 404), ("GET", "/v1/timed", 429)])
def test_a_body_that_no_route_reads_is_not_checked(method: str, path: str, status: int) -> None:
    """An unknown path is a 404, and a route without a body answers, whatever the headers say about a body."""
    unreadable = {"isBase64Encoded": True, "headers": {"Content-Type": "text/xml", "Content-Encoding": "gzip"}}
    assert _answer(request(method, path, "no base64", **unreadable))[0] == status


def test_an_answer_no_function_can_return_points_to_a_job() -> None:
    """An answer of more than 5 MB is a 413 that names the route of batch jobs."""
    status, problem, _ = _answer(request("GET", "/v1/large"))
    assert status == 413
    assert "/v1/jobs" in problem["hint"]


def test_nan_never_leaves() -> None:
    """A value that JSON cannot hold is a 500, not a broken answer."""
    assert _answer(request("GET", "/v1/nan"))[0] == 500


def test_server_timing_also_on_errors() -> None:
    """An error answer has the stage times known so far, and Retry-After in whole seconds."""
    status, _, headers = _answer(request("GET", "/v1/timed"))
    assert (status, headers["retry-after"]) == (429, "3")
    assert headers["server-timing"] == "tokenize;dur=1.2, infer;dur=500.0"


def test_timings_do_not_leak_into_the_next_request() -> None:
    """Each request starts without stage times."""
    api = _app()
    _answer(request("GET", "/v1/timed"), api)
    assert _answer(request("POST", "/v1/echo", "{}"), api)[2]["server-timing"].startswith("total;dur=")


@pytest.mark.parametrize("raw", [request("POST", "/v1/echo", "{"), request("GET", "/v1/nowhere"), {}])
def test_every_answer_carries_server_timing(raw: dict[str, Any]) -> None:
    """A request that fails before the first stage still has its total time."""
    assert _answer(raw)[2]["server-timing"].startswith("total;dur=")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/echo", json.dumps({"a": CANARY})),
        ("/v1/crash", json.dumps({"a": CANARY})),
        ("/v1/recipes", json.dumps({"name": [CANARY]})),
        ("/v1/echo", f"broken {CANARY}"),
        ("/v1/echo", json.dumps({CANARY: 1})[:-1] + f', "{CANARY}": 2}}'),
        (f"/v1/{CANARY}", "{}"),
    ],
)
def test_no_text_reaches_a_log(path: str, body: str, capfd: Any, caplog: Any) -> None:
    """A text of a caller is in no log line at any level, whether the request succeeds, is refused or crashes."""
    with caplog.at_level("DEBUG"):
        _answer(request("POST", path, body))
    out, err = capfd.readouterr()
    assert '"event": "request"' in out
    assert "canary" not in out + err + caplog.text


def test_one_line_per_request_says_what_happened(capfd: Any) -> None:
    """The log line has function, route rule, status, code and request id. After a crash it also has the place."""
    _answer(request("POST", "/v1/raise/conflict", "{}"))
    _answer(request("POST", "/v1/crash", "{}"))
    first, second = (json.loads(line) for line in capfd.readouterr().out.splitlines())
    assert (first["function"], first["route"], first["status"]) == ("test", "POST /v1/raise/<code>", 409)
    assert (first["code"], first["request_id"][:4]) == ("conflict", "c6af")
    assert (second["error_type"], second["reason"].split(":")[0]) == ("RuntimeError", "test_resolver.py")


def test_deadline_leaves_room_to_answer() -> None:
    """Work must end 1.5 s before the runtime ends the invocation."""
    assert deadline(FakeContext(remaining_ms=25_000), clock=lambda: 100.0) == 123.5


def test_server_timing_is_milliseconds() -> None:
    """Stages keep their order. Seconds become milliseconds with one decimal."""
    assert server_timing({"tokenize": 0.00125, "route": 0.0, "infer": 1.5}) == (
        "tokenize;dur=1.2, route;dur=0.0, infer;dur=1500.0"
    )


def test_request_id_is_safe_in_a_header() -> None:
    """A forged request id cannot add a header or a log line."""
    assert request_id({"requestContext": {"requestId": "a\r\nSet-Cookie: b"}}, FakeContext()) == "aSet-Cookieb"
    assert request_id({}, FakeContext()) == FakeContext().aws_request_id


def test_retry_after_of_a_broken_peer_is_dropped() -> None:
    """An infinite waiting time is not put into a header."""
    api = Resolver("test")

    @api.get("/v1/x")
    def fail() -> object:
        raise GlossaError("x", retry_after_s=float("inf"))

    assert "retry-after" not in _answer(request("GET", "/v1/x"), api)[2]


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_path_is_quoted_as_it_can_be_printed(method: str) -> None:
    """Control characters and lone surrogates are escaped in the detail of a 404 or 405."""
    status, problem, _ = _answer(request(method, "/v1/no\x00pe\ud800"))
    assert status == 404
    assert f"no route {method} /v1/no\\x00pe\\ud800" in problem["detail"]
