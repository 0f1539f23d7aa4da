"""The scopes cover the routes: each route has one, each scope opens routes that exist, and the docs have the list."""

from __future__ import annotations

import re

import pytest

from functions.authorizer.policy import Caller, allow
from functions.authorizer.scopes import EVERY_CALLER, SCOPES, known_scopes
from functions.http.authentication import Auth, check_task
from functions.http.openapi_document import routes
from functions.tasks.registry import TASK_NAMES
from shared.errors import Forbidden
from tests.unit.template import ROOT

# Of each ecosystem, the last part of the paths that do one task.
COMPATIBLE = {
    "feature-extraction": r"/v1/embeddings|/v[12]/embed|(/tei/<model>)?/embed(_all|_sparse)?",
    "text-generation": "/v1/completions|/hf/<model>/v1/completions",
    "rerank": "/v2/rerank|(/tei/<model>)?/rerank",
    "text-classification": "(/tei/<model>)?/predict",
    "sentence-similarity": "(/tei/<model>)?/similarity",
}
STAGE = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3/live"
ROUTES = sorted(routes())


def opened(*scopes: str) -> set[tuple[str, str]]:
    """Return the routes that the policy of a caller with these scopes allows, as IAM reads it."""
    answer = allow(Caller("key/0", "key-acme", scopes), f"{STAGE}/GET/v1/models")
    (statement,) = answer["policyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Allow", "execute-api:Invoke")
    return {
        (method, path) for method, path in ROUTES if _allows(statement["Resource"], f"{STAGE}/{method}{_path(path)}")
    }


def _path(route: str) -> str:
    return re.sub(r"<\w+>", "0" * 32, route)


def _allows(resources: list[str], arn: str) -> bool:
    patterns = [re.escape(resource).replace(r"\*", ".*").replace(r"\?", ".") for resource in resources]
    return any(re.fullmatch(pattern, arn) for pattern in patterns)


def test_each_scope_opens_exactly_its_routes() -> None:
    """For every scope, the routes that its policy allows are those of its meaning, and no other."""
    everyone = {route for route in ROUTES if re.search(r"/health(/live|/ready)?$|/metrics$|/openapi.json$", route[1])}
    posts = {route for route in ROUTES if route[0] == "POST"}
    of_hf = {route for route in posts if route[1].startswith("/hf/")}
    of_task = {
        task: of_hf | {route for route in posts if re.fullmatch(COMPATIBLE.get(task, "") + f"|/v1/{task}", route[1])}
        for task in TASK_NAMES
    }
    tasks = set().union(*of_task.values())
    tasks |= {(method, path) for method, path in ROUTES if path.startswith("/v2") and path.endswith("/infer")}
    tokens = {route for route in posts if re.search("/(de)?tokenize$|/decode$", route[1])}
    wanted = {"infer": tasks, "tokens": tokens}
    wanted |= {f"tasks:{task}": opened_by for task, opened_by in of_task.items()}
    for kind in ("models", "jobs", "recipes"):
        of_kind = {(method, path) for method, path in ROUTES if path.startswith(f"/v1/{kind}")}
        wanted[f"{kind}:read"] = {(method, path) for method, path in of_kind if method == "GET"}
        wanted[f"{kind}:write"] = of_kind - wanted[f"{kind}:read"]
    wanted["models:read"] |= {route for route in ROUTES if re.match("/v2|.*/info$", route[1])} - tasks - everyone
    wanted = {scope: found for scope, found in wanted.items() if found}
    assert {scope: opened(scope) - everyone for scope in SCOPES} == wanted
    assert opened() == everyone


def test_every_route_has_a_scope_or_is_for_every_caller() -> None:
    """All scopes together open every route of the API, so a new route without a scope is found."""
    assert opened(*SCOPES) == set(ROUTES)
    assert opened(*(SCOPES.keys() - {"jobs:write"})) != set(ROUTES)


def test_every_pattern_opens_a_route() -> None:
    """No scope names a route that does not exist."""
    for pattern in {pattern for patterns in (*SCOPES.values(), EVERY_CALLER) for pattern in patterns}:
        method, path = pattern.split(" ")
        assert any(served == method and _allows([path], _path(route)) for served, route in ROUTES), pattern


@pytest.mark.parametrize(
    "arn",
    [
        f"{STAGE}/POST/v1/fill-mask",
        f"{STAGE}/GET/v1/text-classification",
        f"{STAGE}/POST/v1/text-classification/x",
        f"{STAGE}/POST/v1/text-classification2",
        f"{STAGE}/POST/v1/Text-Classification",
        f"{STAGE}/POST//v1/text-classification",
        f"{STAGE}/DELETE/v1/jobs/{'0' * 32}",
        STAGE.replace("/live", "/other") + "/POST/v1/text-classification",
        STAGE.replace("a1b2c3", "other0") + "/POST/v1/text-classification",
        STAGE.replace("123456789012", "999999999999") + "/POST/v1/text-classification",
    ],
)
def test_a_policy_allows_nothing_else(arn: str) -> None:
    """Other methods, paths, stages, APIs and accounts are not covered."""
    answer = allow(Caller("key/0", "key-acme", ("tasks:text-classification", "jobs:read")), f"{STAGE}/POST/v1/jobs")
    (statement,) = answer["policyDocument"]["Statement"]
    assert not _allows(statement["Resource"], arn)
    assert _allows(statement["Resource"], f"{STAGE}/POST/v1/text-classification")


def test_a_policy_is_the_same_for_every_request_of_a_caller() -> None:
    """API Gateway uses it again for other routes, so it does not depend on the route of the first request."""
    caller = Caller("key/0", "key-acme", tuple(SCOPES))
    arns = (f"{STAGE}/GET/", f"{STAGE}/POST/v1/jobs/x/start", f"{STAGE}/GET/v1/models")
    answers = [allow(caller, arn) for arn in arns]
    assert answers[0] == answers[1] == answers[2]
    assert len(str(answers[0])) < 8_192


def test_the_context_says_who_calls() -> None:
    """The functions behind the API read tenant, principal and scopes, all of them text."""
    answer = allow(Caller("jwt/okta/ada", "jwt-okta-acme", ("infer", "jobs:read")), f"{STAGE}/GET/")
    wanted = {"principal": "jwt/okta/ada", "tenant": "jwt-okta-acme", "scopes": "infer jobs:read"}
    assert (answer["context"], answer["principalId"]) == (wanted, "jwt/okta/ada")


@pytest.mark.parametrize("scope", sorted(SCOPES))
def test_a_function_and_the_policy_agree_on_tasks(scope: str) -> None:
    """A task is refused in a batch job exactly where its own route is not opened."""
    raw = {"requestContext": {"authorizer": {"tenant": "key-acme", "principal": "key/0", "scopes": scope}}}
    allowed = set()
    for task in TASK_NAMES:
        try:
            check_task(raw, Auth("bearer"), task)
            allowed.add(("POST", f"/v1/{task}"))
        except Forbidden:
            pass
    assert allowed == opened(scope) & {("POST", f"/v1/{task}") for task in TASK_NAMES}


def test_unknown_scopes_are_left_out() -> None:
    """Names of other systems, wildcards and other spellings are no scopes."""
    assert known_scopes(["openid", "*", "Infer", "tasks:*", "jobs:read", "infer", "infer"]) == ("infer", "jobs:read")


def test_the_docs_have_the_same_list() -> None:
    """The table of docs/authentication.md names the scopes and routes of the code, and no other."""
    text = (ROOT / "docs/authentication.md").read_text(encoding="utf-8")
    table = text.partition("| scope | routes |")[2].partition("\n\n")[0]
    told: dict[str, tuple[str, ...]] = {}
    for row in table.strip().splitlines()[1:]:
        scope, routes_told = (cell.strip() for cell in row.strip("|").split("|"))
        named = re.findall(r"`([^`]+)`", routes_told)
        for task in TASK_NAMES if "{task}" in row else ("",):
            key = scope.strip("`").replace("{task}", task)
            told[key] = (*told.get(key, ()), *(route.replace("{task}", task) for route in named))
    assert told.pop("none is needed") == EVERY_CALLER
    assert told == dict(SCOPES)
