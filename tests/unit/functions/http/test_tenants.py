"""Two principals, every route, foreign ids: what one has made does not exist for the other, however both are known."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest

from functions.authorizer.scopes import SCOPES
from functions.http.authentication import Auth
from functions.http.openapi.jobs_operations import OPERATIONS
from functions.http.openapi_document import routes
from functions.http.resolver import Resolver
from tests.events import FakeContext, request
from tests.unit.functions.http.bodies import valid_body
from tests.unit.functions.http.world import make
from tests.unit.functions.jobs.world import World, make_routes

ACCOUNT = "123456789012"
ROLE = f"arn:aws:sts::{ACCOUNT}:assumed-role"
COGNITO_ID = "eu-west-1:01234567-89ab-cdef-0123-45678901234"
BODY = {"task": "text-classification", "files": ["a.jsonl"]}
TAKES_ID = sorted((each.method, each.path) for each in OPERATIONS if "<" in each.path)
ROUTES = sorted(routes())


@dataclass(frozen=True)
class Principal:
    """A caller as API Gateway describes it in an event."""

    auth: Auth
    context: dict[str, Any]


def signed(arn: str, **more: str) -> Principal:
    """Return a caller who signed with SigV4."""
    return Principal(Auth("iam"), {"identity": {"userArn": arn, "accountId": ACCOUNT, **more}})


def bearer(tenant: str, scopes: str = " ".join(SCOPES)) -> Principal:
    """Return a caller whom the authorizer has verified."""
    said = {"tenant": tenant, "principal": f"key/{tenant}", "scopes": scopes}
    return Principal(Auth("bearer"), {"authorizer": said, "identity": {"userArn": None, "accountId": None}})


PAIRS = {
    "users": (signed(f"arn:aws:iam::{ACCOUNT}:user/ada"), signed(f"arn:aws:iam::{ACCOUNT}:user/bob")),
    "people of one SSO role": (signed(f"{ROLE}/AWSReservedSSO_T/ada"), signed(f"{ROLE}/AWSReservedSSO_T/bob")),
    "users of one identity pool": (
        signed(f"{ROLE}/users/CognitoIdentityCredentials", cognitoIdentityId=f"{COGNITO_ID}0"),
        signed(f"{ROLE}/users/CognitoIdentityCredentials", cognitoIdentityId=f"{COGNITO_ID}1"),
    ),
    "keys": (bearer("key-ada"), bearer("key-bob")),
    "a JWT and a key": (bearer("jwt-okta-acme"), bearer("key-acme")),
}


@dataclass
class Calls:
    """One world of batch jobs, and the API in front of it for callers of one kind."""

    world: World
    api: Resolver

    def ask(self, caller: Principal, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """Send one event of a caller."""
        raw = request(method, path, None if body is None else json.dumps(body), headers=headers)
        raw["requestContext"] |= caller.context
        answer = self.api.resolve(raw, FakeContext())
        return answer["statusCode"], json.loads(answer["body"])


@pytest.fixture(params=PAIRS, ids=str)
def pair(request: pytest.FixtureRequest) -> tuple[Calls, Principal, Principal]:
    """Return two callers of one kind and the API."""
    ada, bob = PAIRS[request.param]
    world = World()
    return Calls(world, make_routes(world.effects, world.catalog, ada.auth)), ada, bob


def ended_job(calls: Calls, owner: Principal) -> str:
    """Make a job of a caller, and work on it until it has ended."""
    made = calls.ask(owner, "POST", "/v1/jobs", BODY)[1]
    calls.world.objects.put(calls.world.effects.input_bucket, made["uploads"][0]["fields"]["key"], b'{"text": "a"}\n')
    assert calls.ask(owner, "POST", made["start"])[0] == 202
    calls.world.run()
    return str(made["job"])


@pytest.mark.parametrize("state", ["CREATED", "SUCCEEDED"])
def test_foreign_ids_do_not_exist(pair: tuple[Calls, Principal, Principal], state: str) -> None:
    """On every route that takes an id, the id of another is a 404 and changes nothing, whatever headers claim."""
    calls, ada, bob = pair
    made = calls.ask(ada, "POST", "/v1/jobs", BODY)[1]["job"]
    job = ended_job(calls, ada) if state == "SUCCEEDED" else made
    assert calls.ask(ada, "POST", "/v1/recipes", {"task": "text-classification", "name": "news"})[0] == 201
    before = calls.ask(ada, "GET", f"/v1/jobs/{job}")
    assert before[1]["state"] == state
    claimed = {"tenant": "key-ada", "x-tenant": "key-ada", "authorization": "Bearer x"}
    for method, path in TAKES_ID:
        status, problem = calls.ask(bob, method, path.replace("<job>", job).replace("<name>", "news"), **claimed)
        assert (status, problem["code"]) == (404, "not-found"), path
        assert problem["detail"].count(job) <= 1
    assert calls.ask(ada, "GET", f"/v1/jobs/{job}") == before
    assert [each["name"] for each in calls.ask(ada, "GET", "/v1/recipes")[1]["recipes"]] == ["news"]


def test_the_matrix_can_fail() -> None:
    """Where a role is configured to be one tenant, its sessions do find each other's jobs."""
    ada, bob = PAIRS["people of one SSO role"]
    world = World()
    calls = Calls(world, make_routes(world.effects, world.catalog, Auth("iam", frozenset({"AWSReservedSSO_T"}))))
    job = calls.ask(ada, "POST", "/v1/jobs", BODY)[1]["job"]
    assert calls.ask(bob, "GET", f"/v1/jobs/{job}")[0] == 200


def test_lists_hold_ones_own(pair: tuple[Calls, Principal, Principal]) -> None:
    """Lists, idempotency keys and inboxes are those of the caller alone."""
    calls, ada, bob = pair
    mine = calls.ask(ada, "POST", "/v1/jobs", BODY, **{"idempotency-key": "same"})[1]["job"]
    other = calls.ask(bob, "POST", "/v1/jobs", BODY, **{"idempotency-key": "same"})[1]["job"]
    assert mine != other
    for owner, job in ((ada, mine), (bob, other)):
        assert [each["job"] for each in calls.ask(owner, "GET", "/v1/jobs")[1]["jobs"]] == [job]
    recipe = {"task": "text-classification", "name": "news"}
    inboxes = {calls.ask(owner, "POST", "/v1/recipes", recipe)[1]["inbox"] for owner in (ada, bob)}
    assert len(inboxes) == 2


def test_a_page_of_another_is_no_page(pair: tuple[Calls, Principal, Principal]) -> None:
    """The cursor of one principal shows nothing of its list to another."""
    calls, ada, bob = pair
    jobs = {calls.ask(ada, "POST", "/v1/jobs", BODY)[1]["job"] for _ in range(3)}
    raw = request("GET", "/v1/jobs", None, queryStringParameters={"page_size": "1"})
    raw["requestContext"] |= ada.context
    cursor = json.loads(calls.api.resolve(raw, FakeContext())["body"])["next"]
    raw = request("GET", "/v1/jobs", None, queryStringParameters={"page_size": "1", "cursor": cursor})
    raw["requestContext"] |= bob.context
    answer = calls.api.resolve(raw, FakeContext())
    assert answer["statusCode"] in {200, 422}
    assert not [job for job in jobs if job in answer["body"]]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("auth", [Auth("iam"), Auth("bearer")], ids=lambda auth: auth.kind)
def test_every_route_refuses_who_was_not_verified(
    auth: Auth, method: str, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the context of API Gateway each route is a 403 before it reads anything, health included.

    The log has the code, because a body may have the form of another ecosystem.
    """
    of_jobs = path.startswith(("/v1/jobs", "/v1/recipes"))
    world = World()
    api = make_routes(world.effects, world.catalog, auth) if of_jobs else make(auth=auth)
    raw = request(method, re.sub(r"<(?:name|model)>", "mini", path.replace("<job>", "0" * 32)), "{}")
    other = bearer("key-ada") if auth.kind == "iam" else signed(f"arn:aws:iam::{ACCOUNT}:user/ada")
    raw["requestContext"] |= {"authorizer": None, "identity": {}} | other.context
    raw["headers"] = {"authorization": "Bearer x", "x-tenant": "key-ada"}
    answer = api.resolve(raw, FakeContext())
    logged = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (answer["statusCode"], logged["code"]) == (403, "forbidden")


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/recipes", "/v1/text-classification"])
def test_a_task_without_its_scope_is_refused_by_the_function_too(path: str) -> None:
    """API Gateway lets a caller with `jobs:write` through; the task of the body needs a scope of its own."""
    world, name = World(), {"name": "news"} if path == "/v1/recipes" else {}
    body = valid_body("text-classification") if path.endswith("classification") else {"task": BODY["task"], **name}
    for scopes, allowed in (("jobs:write recipes:write tasks:fill-mask", False), ("tasks:text-classification", True)):
        caller = bearer("key-ada", scopes)
        api = make(auth=caller.auth)
        calls = Calls(
            world, api if "classification" in path else make_routes(world.effects, world.catalog, caller.auth)
        )
        assert (calls.ask(caller, "POST", path, body)[0] < 400) is allowed
