"""The Lambda functions of batch jobs as the runtime uses them: light imports, clear errors at start, and events."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.functions.http.world import ARTIFACT, tokenizer
from tests.unit.functions.lambdas.test_infer import CATALOG

ROOT = Path(__file__).parents[4]
HEAVY = ["torch", "ray", "transformers", "numpy", "boto3", "botocore.session", "serve", "sentencepiece"]
FUNCTIONS = ["jobs", "plan", "work", "finalize", "sweep", "notify"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Write catalog and artifacts as the functions' packages have them, and name every resource."""
    (tmp_path / "artifacts" / "mini").mkdir(parents=True)
    (tmp_path / "artifacts" / "mini" / "tokenizer.json").write_bytes(ARTIFACT.read_bytes())
    found = tokenizer()
    text = CATALOG.format(zeros="0" * 64, sha256=found.fingerprint, vocab_size=found.vocab_size)
    (tmp_path / "catalog.toml").write_text(text)
    return {
        "PATH": os.environ["PATH"],
        "GLOSSA_REPLICA_URL": "http://127.0.0.1:9",
        "GLOSSA_CATALOG": str(tmp_path / "catalog.toml"),
        "GLOSSA_ARTIFACTS": str(tmp_path / "artifacts"),
        "GLOSSA_INPUT_BUCKET": "input",
        "GLOSSA_OUTPUT_BUCKET": "output",
        "GLOSSA_JOBS_TABLE": "jobs",
        "GLOSSA_WEBHOOKS_TABLE": "webhooks",
        "GLOSSA_WEBHOOKS_KEY": "key",
        "GLOSSA_EVENT_BUS": "bus",
        "GLOSSA_PLAN_QUEUE_URL": "http://127.0.0.1:9/plan",
        "GLOSSA_WORK_QUEUE_URL": "http://127.0.0.1:9/work",
        "GLOSSA_FINALIZE_QUEUE_URL": "http://127.0.0.1:9/finalize",
        "GLOSSA_NOTIFY_QUEUE_URL": "http://127.0.0.1:9/notify",
    }


def _run(program: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_imports_bring_nothing_heavy(environment: dict[str, str]) -> None:
    """No function imports torch, ray, transformers, numpy or boto3 at start, or connects anywhere."""
    program = (
        "import importlib, sys\n"
        "sys.addaudithook(lambda name, _: name == 'socket.connect' and print(name))\n"
        f"for name in {FUNCTIONS}:\n"
        "    assert callable(importlib.import_module(f'functions.lambdas.{name}').handler)\n"
        f"    print(name, [m for m in {HEAVY} if m in sys.modules])\n"
    )
    done = _run(program, environment)
    assert (done.stdout.splitlines(), done.stderr) == ([f"{name} []" for name in FUNCTIONS], "")


@pytest.mark.parametrize(
    ("name", "variable"),
    [("jobs", "GLOSSA_JOBS_TABLE"), ("plan", "GLOSSA_CATALOG"), ("work", "GLOSSA_REPLICA_URL"),
     ("finalize", "GLOSSA_OUTPUT_BUCKET"), ("sweep", "GLOSSA_WORK_QUEUE_URL"), ("notify", "GLOSSA_NOTIFY_QUEUE_URL")],
)  # fmt: skip
def test_a_bad_environment_stops_the_start(environment: dict[str, str], name: str, variable: str) -> None:
    """A missing variable is named before any event is taken."""
    broken = {key: value for key, value in environment.items() if key != variable}
    if variable == "GLOSSA_CATALOG":  # it has a default, so only a wrong one stops
        broken[variable] = "nowhere.toml"
    done = _run(f"import functions.lambdas.{name}", broken)
    assert done.returncode != 0
    assert ("nowhere.toml" if variable == "GLOSSA_CATALOG" else f"{variable}: Field required") in done.stderr


def test_handlers_on_aws_answer_events(environment: dict[str, str]) -> None:
    """On moto each handler answers a raw event: an empty table is swept, unknown jobs are ignored, no job is listed."""
    program = """
import json, os
os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "eu-central-1"}
os.environ["GLOSSA_AUTH"] = "none"
from moto import mock_aws
from tests.events import FakeContext, request
from tests.unit.functions.jobs.storage import cloud
with mock_aws():
    settings = cloud.resources()
    for name, value in settings.model_dump(exclude_unset=True).items():
        os.environ["GLOSSA_" + name.upper()] = value
    from functions.jobs.steps.work import worker
    from functions.lambdas import finalize, jobs, plan, sweep, work
    assert work.replica._max_answer_bytes == worker.MAX_SHARD_ANSWER_BYTES
    print(json.dumps(sweep.handler({}, FakeContext(remaining_ms=60_000))))
    print(json.dumps(jobs.handler(request("GET", "/v1/jobs"), FakeContext())["body"]))
    steps = (("plan", plan, ""), ("work", work, "00000000-0123456789ab"), ("finalize", finalize, ""))
    for step, function, shard in steps:
        body = json.dumps({"glossa": step, "tenant": "local", "job": "0" * 32, "shard": shard})
        event = {"Records": [{"messageId": "m", "receiptHandle": "r", "body": body, "attributes": {}}]}
        print(json.dumps(function.handler(event, FakeContext(remaining_ms=300_000))))
"""
    done = _run(program, environment)
    answers = [line for line in done.stdout.splitlines() if not line.startswith('{"time"')]
    assert answers == ["{}", '"{\\"jobs\\":[],\\"next\\":null}"', *['{"batchItemFailures": []}'] * 3], done.stderr
