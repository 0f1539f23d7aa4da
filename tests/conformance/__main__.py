"""Runs each client against the API, prints a line for each call, and ends with 1 when one has failed.

    python -m tests.conformance [--url URL] [--record FILE] [--write]

Without `--url` the function's own handler answers in this process, over mini and small random models with real engines.
`--record` has the API of the unit tests answer instead, and keeps what the clients sent. `--write` writes the table of
docs/clients.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from local.workspace import ROOT
from tests.conformance.http_server import Exchange, Serving, serving
from tests.conformance.table import write_table

HERE = Path(__file__).parent
ENVIRONMENT = ROOT / ".venv-conformance"
SCRIPTS = ("openai_client", "cohere_client", "hugging_face_client", "frameworks_client")
Line = dict[str, Any]


def main() -> int:
    """Run the clients. Return 1 when a call has failed, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="address of an API that runs already, without Auth")
    parser.add_argument("--record", type=Path, help="file of what the clients sent")
    parser.add_argument("--write", action="store_true", help="write the table of docs/clients.md")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, _api(chosen, Path(folder)) as found:
        lines = [*_python(found.url), *_node(found.url)]
        if chosen.record:
            chosen.record.write_text("".join(map(_recorded, _each_once(found.exchanges))), encoding="utf-8")
    if chosen.write:
        write_table(ROOT / "docs" / "clients.md", lines)
    counts = {state: sum(line["state"] == state for line in lines) for state in ("passed", "skipped", "failed")}
    print(", ".join(f"{n} {state}" for state, n in counts.items()))
    return 1 if counts["failed"] or not counts["passed"] else 0


@contextmanager
def _api(chosen: argparse.Namespace, folder: Path) -> Iterator[Serving]:
    """Yield the API under test. What the function logs goes to the error output."""
    if chosen.url:
        yield Serving(chosen.url)
        return
    if chosen.record:
        from tests.unit.functions.http.world import make  # noqa: PLC0415 - pytest and its world, or torch, not both

        api = make()
    else:
        from tests.conformance.models import served_models  # noqa: PLC0415 - likewise

        api = served_models(folder)
    with redirect_stdout(sys.stderr), serving(api) as found:
        yield found


def _python(url: str) -> Iterator[Line]:
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        raise SystemExit(f"{python.parent.parent.name} is not there, expected it; `make conformance` makes it")
    for script in SCRIPTS:
        yield from _run([str(python), "-m", f"tests.conformance.{script}", url], ROOT)


def _node(url: str) -> Iterator[Line]:
    """Run the Node clients beside their modules. Without Node they are skipped, and the output says so."""
    folder = ENVIRONMENT / "node"
    if shutil.which("node") is None or not (folder / "node_modules").exists():
        print("SKIPPED: the Node clients. Node or their modules are not there; `make conformance` installs the modules")
        return
    shutil.copy(HERE / "node" / "clients.mjs", folder)
    yield from _run(["node", "clients.mjs", url], folder)


def _run(command: Sequence[str], folder: Path) -> Iterator[Line]:
    """Yield the lines of one script, and print them. A script that dies is a failed line."""
    quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HAYSTACK_TELEMETRY_ENABLED": "False", "NO_COLOR": "1"}
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    with subprocess.Popen(command, cwd=folder, env=kept | quiet, stdout=subprocess.PIPE, text=True) as process:
        for text in process.stdout or ():
            if text.startswith("{"):
                line: Line = json.loads(text)
                said = f"{line['client']} {line['version']}: {line['call']}  {line['said']}"
                print(f"{line['state']:<8}{said}", file=sys.stderr)
                yield line
    if process.returncode:
        yield {"client": command[-2], "version": "", "call": "the script", "task": "", "state": "failed", "said": ""}


def _each_once(exchanges: Sequence[Exchange]) -> Iterator[Exchange]:
    """Yield what clients sent to the routes of other ecosystems, each body of a client once."""
    seen = set()
    for each in exchanges:
        key = (each.method, each.path, each.body)
        if key not in seen and not each.user_agent.startswith(("Python-urllib", "node")):
            seen.add(key)
            yield each


def _recorded(exchange: Exchange) -> str:
    kept = {"client": exchange.user_agent, "method": exchange.method, "path": exchange.path, "body": exchange.body}
    return json.dumps(kept | {"status": exchange.status, "answer": json.loads(exchange.answer)}) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
