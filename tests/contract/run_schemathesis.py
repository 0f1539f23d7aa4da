"""Runs schemathesis over the operations of an API, in its own environment.

`schemathesis.toml` says that a list above its limit is a 413. The checks that are left out say nothing here: the API of
the tests takes everyone (`ignored_auth`), and a body that fits its schema may still name a model that is not there, or
hold no mask (`positive_data_acceptance`). Must not know how an API is served.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / ".venv-contract" / "bin" / "schemathesis"
CONFIG = Path(__file__).with_name("schemathesis.toml")
LEFT_OUT = "ignored_auth,positive_data_acceptance"


def run_schemathesis(
    url: str, folder: Path, *, n_examples: int, phases: str, paths: Sequence[str] = (), seed: int = 1
) -> tuple[int, str]:
    """Return the exit status, and what it printed, for some paths or for all. The same seed makes the same requests."""
    command: list[str | Path] = [
        PROGRAM, "--config-file", CONFIG, "run", f"{url}/openapi.json", "--url", url, "--phases", phases,
        "--max-examples", str(n_examples), "--seed", str(seed), "--generation-database", "none",
        "--exclude-checks", LEFT_OUT, "--continue-on-failure", "--no-color", "--warnings", "off", "--no-shrink",
        *(word for path in paths for word in ("--include-path", path)),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr
