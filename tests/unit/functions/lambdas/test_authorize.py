"""The authorizer's Lambda function as the runtime uses it: light imports, its settings, and what it answers."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.unit.functions.authorizer.issuer import issuer
from tests.unit.template import ROOT

HEAVY = ("torch", "ray", "transformers", "numpy", "boto3", "botocore", "aws_lambda_powertools", "tokenizers", "serve")
EVENT = {"type": "TOKEN", "authorizationToken": "Bearer x", "methodArn": "arn:aws:execute-api:r:1:a/live/GET/v1/models"}


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own with these variables."""
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_it_starts_light_and_refuses_before_it_calls_anyone() -> None:
    """It loads neither boto3 nor Powertools, opens no connection, and answers a bad token with Unauthorized."""
    program = (
        "import sys\n"
        "sys.addaudithook(lambda name, _: name == 'socket.connect' and print(name))\n"
        "import functions.lambdas.authorize as module\n"
        f"try:\n    module.handler({EVENT!r}, None)\n"
        "except Exception as error:\n    print(str(error))\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    listed = json.dumps([issuer().model_dump()])
    done = run(program, GLOSSA_KEYS_TABLE="keys", GLOSSA_ISSUERS=listed)
    assert done.stderr == ""
    line, *rest = done.stdout.splitlines()
    assert (json.loads(line)["reason"], rest) == ("no-jwt", ["Unauthorized", "[]"])


def test_a_wrong_configuration_is_named() -> None:
    """Issuers that cannot be read stop the function with the name of the variable."""
    wrong: list[Any] = [
        "{",
        json.dumps([{"name": "okta"}]),
        json.dumps([issuer().model_dump() | {"issuer": "http://x"}]),
    ]
    for issuers in wrong:
        done = run("import functions.lambdas.authorize", GLOSSA_ISSUERS=issuers)
        assert done.returncode != 0
        assert "GLOSSA_ISSUERS" in done.stderr
