"""The template with Auth=key on the emulator: keys from the table to the answer, and two tenants that never meet."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from functions.authorizer.api_keys import new_key, tenant_of_keys
from functions.authorizer.key_store import DynamoDbKeys, KeyStore
from glossa.client import ApiError, Client
from local import deploy, emulator, stack
from local.workspace import ROOT
from tests.stack.conftest import RunningStack

pytestmark = pytest.mark.stack
NAME = "keyed"
ORIGIN = "https://app.example.com"
TOPICS = {"task": "text-classification", "model": "mini:topic"}


@dataclass(frozen=True)
class KeyedStack:
    """A stack that takes API keys, on the emulator of the other one, with the same packages and the same replica."""

    running: RunningStack
    stack: stack.Stack
    keys: KeyStore

    def key(self, tenant: str, *scopes: str) -> str:
        """Make a key."""
        made = new_key(name="test", tenant=tenant_of_keys(tenant), scopes=scopes, days=1, now_s=int(time.time()))
        self.keys.add(made.stored)
        return made.text

    def client(self, tenant: str, *scopes: str) -> Client:
        """Make a key; return a client that sends it."""
        return Client(self.stack.api_url, api_key=self.key(tenant, *scopes))


@pytest.fixture(scope="module")
def keyed(running: RunningStack) -> Iterator[KeyedStack]:
    """Deploy the built template a second time, with Auth=key."""
    workspace, url = running.workspace, running.stack.replica_url
    given = deploy.parameters(url, deploy.store_call_keys(workspace)) | {"Auth": "key", "CorsOrigins": ORIGIN}
    deploy.deploy_built(workspace, given, NAME, "keys")
    known = deploy.describe(workspace, NAME)
    assert known is not None
    table = known["outputs"]["KeysTableName"]
    keys = DynamoDbKeys(table, lambda: running.client("dynamodb"))
    yield KeyedStack(running, stack.addresses(workspace, url, NAME), keys)
    running.client("cloudformation").delete_stack(StackName=NAME)
    calls = emulator.calls_file(workspace)  # other tests read the calls of the other stack's roles there
    kept = [
        line for line in calls.read_text().splitlines(keepends=True) if not json.loads(line)["role"].startswith(NAME)
    ]
    calls.write_text("".join(kept))


def status(client: Client, method: str, path: str, body: object = None, **headers: str) -> int:
    """Return the status of an answer."""
    try:
        client.call(method, path, body, headers=headers)
    except ApiError as error:
        return error.status or 0
    return 200


def test_a_key_is_answered_within_its_scopes(keyed: KeyedStack) -> None:
    """A task that the scopes name is answered through the replica. Every other route is a 403."""
    client = keyed.client("acme", "tasks:text-classification")
    answer = client.call("POST", "/v1/text-classification", {"inputs": "The team won.", "model": "mini:topic"})
    assert answer["task"] == "text-classification"
    for method, path in (("POST", "/v1/fill-mask"), ("GET", "/v1/models"), ("GET", "/v1/jobs"), ("GET", "/nowhere")):
        assert status(client, method, path, {"inputs": "x"}) == 403, path


@pytest.mark.parametrize("header", [{}, {"authorization": "Basic YTpi"}, {"authorization": f"Bearer {'x' * 40}"}])
def test_without_a_key_nobody_is_answered(keyed: KeyedStack, header: dict[str, str]) -> None:
    """A missing header, another scheme and a made-up key are a 401, whatever other headers and the body claim."""
    claimed = {"x-tenant": "key-acme", "tenant": "key-acme"}
    outsider = Client(keyed.stack.api_url, api_key="")
    assert status(outsider, "POST", "/v1/text-classification", {"tenant": "key-acme"}, **claimed, **header) == 401


def ask(keyed: KeyedStack, method: str, path: str, **headers: str) -> tuple[int, bytes, Message]:
    """Send a request as a browser would; return status, body and headers."""
    sent = Request(  # noqa: S310 - the address of the stack under test
        keyed.stack.api_url + path, method=method, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    try:
        with urlopen(sent, timeout=30) as answer:  # noqa: S310 - likewise
            return answer.status, answer.read(), answer.headers
    except HTTPError as error:
        return error.code, error.read(), error.headers


def test_a_page_of_a_listed_origin_may_call(keyed: KeyedStack) -> None:
    """Its preflight needs no key, on the paths of both functions. Its call does, and only its origin is named."""
    for path in ("/v1/models", "/v1/jobs", "/v2"):
        asked = {"access_control_request_method": "GET", "access_control_request_headers": "authorization"}
        found, _, headers = ask(keyed, "OPTIONS", path, origin=ORIGIN, **asked)
        assert (found, headers["access-control-allow-origin"]) == (204, ORIGIN), path
        assert "authorization" in headers["access-control-allow-headers"]
    key = f"Bearer {keyed.key('acme', 'models:read')}"
    assert ask(keyed, "GET", "/v1/models", origin=ORIGIN)[0] == 401
    for origin, named in ((ORIGIN, ORIGIN), ("https://other.example.com", None)):
        found, _, headers = ask(keyed, "GET", "/v1/models", origin=origin, authorization=key)
        assert (found, headers["access-control-allow-origin"], headers["vary"]) == (200, named, "Origin")


def test_head_needs_a_key_and_has_no_body(keyed: KeyedStack) -> None:
    """The policy of a key that may GET a route lets it ask for the headers alone."""
    key = f"Bearer {keyed.key('acme', 'models:read')}"
    found, body, headers = ask(keyed, "HEAD", "/v1/models", authorization=key)
    assert (found, body, headers["content-type"]) == (200, b"", "application/json")
    assert ask(keyed, "HEAD", "/v1/models")[0] == 401
    assert ask(keyed, "HEAD", "/v1/jobs", authorization=key)[0] == 403


def test_two_tenants_never_meet(keyed: KeyedStack) -> None:
    """What one tenant has made is unknown to the other on every route of jobs and recipes, and is on no list."""
    scopes = ("infer", "jobs:read", "jobs:write", "recipes:read", "recipes:write")
    ada, bob = keyed.client("ada", *scopes), keyed.client("bob", *scopes)
    job = ada.call("POST", "/v1/jobs", {**TOPICS, "files": ["a.jsonl"]}, headers={"idempotency-key": "same"})["job"]
    ada.call("POST", "/v1/recipes", {**TOPICS, "name": "news"})
    for method, path in (
        ("GET", ""), ("POST", "/start"), ("POST", "/cancel"), ("POST", "/redrive"), ("GET", "/errors"),
        ("GET", "/results"), ("DELETE", ""),
    ):  # fmt: skip
        assert status(bob, method, f"/v1/jobs/{job}{path}") == 404, path
    assert status(bob, "DELETE", "/v1/recipes/news") == 404
    assert (bob.call("GET", "/v1/jobs")["jobs"], bob.call("GET", "/v1/recipes")["recipes"]) == ([], [])
    again = bob.call("POST", "/v1/jobs", {**TOPICS, "files": ["a.jsonl"]}, headers={"idempotency-key": "same"})["job"]
    assert again != job
    assert [found["job"] for found in ada.call("GET", "/v1/jobs")["jobs"]] == [job]
    assert ada.jobs.get(job).status().state == "CREATED"


def test_a_job_needs_the_scope_of_its_task(keyed: KeyedStack) -> None:
    """The route of jobs is open to this key, but not the task of this job."""
    client = keyed.client("acme", "jobs:write", "tasks:fill-mask")
    assert status(client, "POST", "/v1/jobs", {**TOPICS, "files": ["a.jsonl"]}) == 403


def test_a_revoked_key_is_refused(keyed: KeyedStack) -> None:
    """The gateway keeps its answer for the header that it knows. For another spelling it asks again, and is told no."""
    client = keyed.client("acme", "models:read")
    assert status(client, "GET", "/v1/models") == 200
    key = client.target.api_key
    assert key is not None
    keyed.keys.revoke(key[7:23], int(time.time()))
    outsider = Client(keyed.stack.api_url, api_key="")
    assert status(outsider, "GET", "/v1/models", authorization=f"bearer {key}") == 401


def test_the_command_finds_the_table_of_a_stack(keyed: KeyedStack) -> None:
    """`glossa keys list --stack` reads the output of the deployed template."""
    keyed.client("listed", "infer")
    environment = {**emulator.CREDENTIALS, "AWS_ENDPOINT_URL": keyed.stack.endpoint_url, "PATH": ""}
    command = [sys.executable, "-m", "glossa", "keys", "list", "--stack", NAME]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "key-listed" in {json.loads(line)["tenant"] for line in done.stdout.splitlines()}


def test_the_authorizer_starts_from_its_package_and_layers_alone(keyed: KeyedStack) -> None:
    """Its handler imports with its package and two layers on the path, and loads neither boto3 nor Powertools."""
    build, functions = keyed.running.workspace.build, keyed.running.client("lambda").list_functions()["Functions"]
    (function,) = [f for f in functions if f["FunctionName"].startswith(f"{NAME}-AuthorizeFunction")]
    folders = [f"{build}/{name}" for name in ("AuthorizeFunction", "DependencyLayer/python", "AuthorizerLayer/python")]
    program = (
        f"import sys; sys.path[:0] = {folders!r}\n"
        "import functions.lambdas.authorize, jwt, cryptography\n"
        "print(jwt.__file__, cryptography.__file__, {'boto3', 'aws_lambda_powertools'} & set(sys.modules))"
    )
    python = keyed.running.workspace.python(".venv-local")
    environment: dict[str, Any] = function["Environment"]["Variables"]
    done = subprocess.run(
        [python, "-P", "-B", "-c", program], env=environment, cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [f"{folders[2]}/jwt/__init__.py", f"{folders[2]}/cryptography/__init__.py", "set()"]
