"""The infer function in a process of its own, as the Lambda runtime runs it: events in, proxy responses out.

The process has only the environment of the function, and reaches the model server only over HTTP.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from local.workspace import ROOT
from tests.events import request

PROGRAM = """
import json, sys
answers, sys.stdout = sys.stdout, sys.stderr  # what the function logs must not mix with its answers
from functions.lambdas.infer import handler
from tests.events import FakeContext
for line in sys.stdin:
    print(json.dumps(handler(json.loads(line), FakeContext())), file=answers, flush=True)
"""
Answer = tuple[int, Any]


@dataclass(frozen=True)
class InferFunction:
    """A running infer function."""

    events: IO[str]
    answers: IO[str]
    log: Path

    def post(self, task: str, body: object) -> Answer:
        """Send one API Gateway event to `/v1/{task}`. Return the status and the JSON that came back."""
        return self.ask("POST", f"/v1/{task}", json.dumps(body))

    def ask(self, method: str, path: str, body: str | None = None) -> Answer:
        """Send one API Gateway event. Raises RuntimeError when the function has ended."""
        self.events.write(json.dumps(request(method, path, body)) + "\n")
        self.events.flush()
        if not (line := self.answers.readline()):
            raise RuntimeError(f"the function has ended; its log: {self.log.read_text(encoding='utf-8')[-2000:]}")
        answer = json.loads(line)
        return answer["statusCode"], json.loads(answer["body"])


@contextmanager
def running_function(settings: Mapping[str, str], log: Path) -> Iterator[InferFunction]:
    """Start the function with these settings. Stop it by closing its input."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with (
        log.open("w", encoding="utf-8") as errors,
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            cwd=ROOT, env={**kept, **settings}, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
        ) as process,
    ):  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        yield InferFunction(process.stdin, process.stdout, log)
        process.stdin.close()
        assert process.wait(timeout=30.0) == 0
