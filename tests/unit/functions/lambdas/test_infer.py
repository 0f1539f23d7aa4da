"""The infer Lambda starts as the runtime starts it: one import loads all files and no heavy library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from functions.lambdas.settings import CODE_ROOT, InferSettings
from shared.settings import read_settings
from tests.events import event
from tests.unit.functions.http.world import ARTIFACT, tokenizer

HEAVY = ["torch", "ray", "transformers", "numpy", "boto3", "serve", "sentencepiece"]
CATALOG = """
default_model = "mini"
[models.mini]
family = "xlm-roberta"
checkpoint = "nowhere"
weights_sha256 = "{zeros}"
tokenizer_sha256 = "{sha256}"
max_tokens = 512
vocab_size = {vocab_size}
[models.mini.heads.topic]
task = "text-classification"
labels = ["a", "b"]
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Write catalog and tokenizer files as in the function's package, and return the environment variables."""
    (tmp_path / "artifacts" / "mini").mkdir(parents=True)
    (tmp_path / "artifacts" / "mini" / "tokenizer.json").write_bytes(ARTIFACT.read_bytes())
    found = tokenizer()
    text = CATALOG.format(zeros="0" * 64, sha256=found.fingerprint, vocab_size=found.vocab_size)
    (tmp_path / "catalog.toml").write_text(text)
    return {
        "PATH": os.environ["PATH"],
        "GLOSSA_REPLICA_URL": "http://127.0.0.1:9",
        "GLOSSA_AUTH": "none",
        "GLOSSA_CATALOG": str(tmp_path / "catalog.toml"),
        "GLOSSA_ARTIFACTS": str(tmp_path / "artifacts"),
    }


def _run(program: str, environment: dict[str, str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=CODE_ROOT, env=environment, input=stdin, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_import_brings_nothing_heavy(environment: dict[str, str]) -> None:
    """The import loads no torch, ray, transformers, numpy or boto3, and opens no connection."""
    program = (
        "import sys; sys.addaudithook(lambda name, _: name == 'socket.connect' and print(name));"
        f"import functions.lambdas.infer; print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = _run(program, environment)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_request_through_the_real_handler(environment: dict[str, str]) -> None:
    """Without a model server the handler answers 503 with a reason. It still lists its models."""
    program = """
import json, sys
from functions.lambdas.infer import handler
from tests.events import FakeContext
for raw in json.load(sys.stdin):
    print(json.dumps(handler(raw, FakeContext())))
"""
    done = _run(program, environment, json.dumps([event("rest_post"), event("rest_get")]))
    answers: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines() if "statusCode" in line]
    assert [answer["statusCode"] for answer in answers] == [503, 200]
    assert "cannot be reached" in json.loads(answers[0]["body"])["detail"]
    assert json.loads(answers[1]["body"])["default_model"] == "mini"


def test_a_snapshot_is_warm_and_without_connections(environment: dict[str, str]) -> None:
    """Before a snapshot each tokenizer encodes a text, and connections are closed."""
    program = """
import snapshot_restore_py
from functions.lambdas import infer
texts = []
def encode(text, encode=infer.pipeline.tokenizers["mini"].encode):
    texts.append(text)
    return encode(text)
infer.pipeline.tokenizers["mini"].encode = encode
hooks = snapshot_restore_py.get_before_snapshot()
for hook, arguments, named in hooks:
    hook(*arguments, **named)
print(texts == [infer.WARM_TEXT], hooks[-1][0] == infer.replica.close)
"""
    assert _run(program, environment).stdout == "True True\n"


def test_a_snapshot_holds_no_keys(environment: dict[str, str]) -> None:
    """Keys of a secret are forgotten before a snapshot, and fetched after the restore. A failure does no harm."""
    program = """
import snapshot_restore_py, sys
from functions.lambdas import infer
reads = []
infer.call_keys._fetch = lambda: reads.append(1) or "broken"
for hook, arguments, named in snapshot_restore_py.get_before_snapshot():
    hook(*arguments, **named)
print(reads, "boto3" in sys.modules, infer.call_keys._keys)
for hook, arguments, named in snapshot_restore_py.get_after_restore():
    hook(*arguments, **named)
print(reads)
"""
    secret = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:call-keys-AbCdEf"
    lines = _run(program, environment | {"GLOSSA_CALL_KEYS_SECRET": secret}).stdout.splitlines()
    assert (lines[0], lines[-1]) == ("[] True None", "[1]")


def test_a_restored_function_connects_before_its_first_request(environment: dict[str, str]) -> None:
    """After a restore the function calls the model server once. A server that does not answer does no harm."""
    program = """
import snapshot_restore_py, sys
from functions.lambdas import infer
connects = []
sys.addaudithook(lambda name, _: name == "socket.connect" and connects.append(name))
[(hook, arguments, named)] = snapshot_restore_py.get_after_restore()
print(hook(*arguments, **named), bool(connects))
"""
    assert _run(program, environment).stdout == "False True\n"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("GLOSSA_REPLICA_URL", "", "GLOSSA_REPLICA_URL: Field required"),
        ("GLOSSA_REPLICA_URL", "ftp://x", "GLOSSA_REPLICA_URL"),
        ("GLOSSA_AUTH", "open", "GLOSSA_AUTH"),
        ("GLOSSA_CATALOG", "nowhere.toml", "nowhere.toml"),
        ("GLOSSA_ARTIFACTS", "nowhere", "tokenizer.json"),
    ],
)
def test_a_bad_environment_stops_the_start(environment: dict[str, str], name: str, value: str, message: str) -> None:
    """An error at init names a missing or malformed variable."""
    done = _run("import functions.lambdas.infer", environment | {name: value})
    assert done.returncode != 0
    assert message in done.stderr


def test_another_tokenizer_than_the_catalogs_stops_the_start(environment: dict[str, str]) -> None:
    """A tokenizer file that is not the catalog's is refused at init."""
    artifact = Path(environment["GLOSSA_ARTIFACTS"]) / "mini" / "tokenizer.json"
    artifact.write_bytes(ARTIFACT.read_bytes() + b"\n")
    assert "the catalog expects" in _run("import functions.lambdas.infer", environment).stderr


def test_paths_default_to_the_package() -> None:
    """Without settings, catalog and tokenizers are those of the package, and auth is `iam`."""
    settings = read_settings(InferSettings, {"GLOSSA_REPLICA_URL": "https://replica:8000"})
    assert settings.catalog == CODE_ROOT / "catalog.toml"
    assert settings.artifacts == CODE_ROOT / "artifacts"
    assert settings.auth == "iam"
