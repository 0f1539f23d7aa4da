"""Runs each client against the API, prints a line for each call, and ends with 1 when one has failed.

    python -m tests.conformance [--only CLIENT] [--url URL [--key KEY]] [--record FILE] [--write]

Without `--url` the function's own handler answers in this process behind the authorizer of the template, over mini and
small random models with real replicas. Each client brings an API key, and then makes one call with a JWT. `--record`
has the API of the unit tests answer instead, and keeps what the clients sent. `--write` writes the table of
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.workspace import ROOT
from tests.conformance.http_server import Exchange, serving
from tests.conformance.recording import recorded
from tests.conformance.table import write_table

HERE = Path(__file__).parent
ENVIRONMENT = ROOT / ".venv-conformance"
SCRIPTS = (
    "openai", "cohere", "hugging_face", "tei", "langchain", "llama_index", "haystack", "triton", "kserve",
    "open_inference", "evaluators",
)  # fmt: skip
NODE = "node"
BY_JWT = ", with a JWT"
NOT_RECORDED = ("evaluators",)  # they send what the client of OpenAI sends, and much of it
Line = dict[str, Any]


@dataclass(frozen=True)
class Served:
    """The API under test: its address, a key and a JWT that it takes, and its address where it takes everyone."""

    url: str
    key: str
    jwt: str | None = None
    open_url: str | None = None
    exchanges: Sequence[Exchange] = ()


def main() -> int:
    """Run the clients. Return 1 when a call has failed, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=[*SCRIPTS, NODE], help="run this client; repeatable")
    parser.add_argument("--url", help="address of an API that runs already")
    parser.add_argument("--key", default="any text", help="an API key or a JWT that it takes")
    parser.add_argument("--record", type=Path, help="file of what the clients sent")
    parser.add_argument("--write", action="store_true", help="write the table of docs/clients.md")
    chosen = parser.parse_args()
    names = [name for name in chosen.only or (*SCRIPTS, NODE) if not (chosen.record and name in NOT_RECORDED)]
    lines, kept = [], []
    with tempfile.TemporaryDirectory() as folder, _api(chosen, Path(folder)) as served:
        for name in names:
            n_before = len(served.exchanges)
            found = list(_run(name, served, served.key))
            kept += recorded(served.exchanges[n_before:], found, served.key)
            _say_lost(name, served.exchanges[n_before:])
            by_jwt = list(_run(name, served, served.jwt, "--first")) if served.jwt else []
            lines += [line | {"jwt": _jwt_state(by_jwt, line)} for line in found] + _failed(by_jwt)
    if chosen.record:
        chosen.record.write_text("".join(f"{json.dumps(each)}\n" for each in kept), encoding="utf-8")
    if chosen.write:
        write_table(ROOT / "docs" / "clients.md", lines)
    counts = {state: sum(line["state"] == state for line in lines) for state in ("passed", "skipped", "failed")}
    print(", ".join(f"{n} {state}" for state, n in counts.items()))
    return 1 if counts["failed"] or not counts["passed"] else 0


@contextmanager
def _api(chosen: argparse.Namespace, folder: Path) -> Iterator[Served]:
    """Yield the API under test. What the function logs goes to the error output."""
    if chosen.url:
        yield Served(chosen.url, chosen.key, open_url=chosen.url if chosen.key == "any text" else None)
        return
    from tests.conformance import served  # noqa: PLC0415 - torch, or pytest and its world: see there

    behind, open_api, gateway = served.recording() if chosen.record else served.models(folder)
    with redirect_stdout(sys.stderr), serving(behind, gateway) as found, serving(open_api) as everyone:
        yield Served(found.url, gateway.key, None if chosen.record else gateway.jwt, everyone.url, found.exchanges)


def _run(name: str, served: Served, key: str, *more: str) -> Iterator[Line]:
    """Yield the lines of one client's script, and print them. A script that dies is a failed line."""
    command, folder = _command(name)
    if not command:
        return
    arguments = [served.url, key, *more, *(["--open", served.open_url] if served.open_url else [])]
    quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HAYSTACK_TELEMETRY_ENABLED": "False", "NO_COLOR": "1"}
    quiet |= {"HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    with subprocess.Popen(
        [*command, *arguments], cwd=folder, env=kept | quiet, stdout=subprocess.PIPE, text=True
    ) as process:
        for text in process.stdout or ():
            if text.startswith("{"):
                line: Line = json.loads(text)
                said = f"{line['client']} {line['version']}: {line['call']}{BY_JWT if more else ''}  {line['said']}"
                print(f"{line['state']:<8}{said}", file=sys.stderr)
                yield line
    if process.returncode:
        yield {"client": name, "version": "", "call": "the script", "task": "", "state": "failed", "said": ""}


def _command(name: str) -> tuple[list[str], Path]:
    """Return how a client's script is run, and where. Without Node there is no command, and the output says so."""
    if name != NODE:
        python = ENVIRONMENT / "bin" / "python"
        if not python.exists():
            raise SystemExit(f"{python.parent.parent.name} is not there, expected it; `make conformance` makes it")
        return [str(python), "-m", f"tests.conformance.clients.{name}_client"], ROOT
    folder = ENVIRONMENT / NODE
    if shutil.which("node") is None or not (folder / "node_modules").exists():
        print("SKIPPED: the Node clients. Node or their modules are not there; `make conformance` installs the modules")
        return [], folder
    shutil.copy(HERE / "clients" / "node" / "clients.mjs", folder)
    return ["node", "clients.mjs"], folder


def _say_lost(name: str, exchanges: Sequence[Exchange]) -> None:
    """Print the paths that a client asked for without the stage of the address: it needs a name of one's own."""
    lost = sorted({each.path for each in exchanges if not each.in_stage})
    if lost:
        print(f"{name} asked without the stage: {', '.join(lost)}", file=sys.stderr)


def _jwt_state(lines: Sequence[Line], line: Line) -> str:
    """Return what came of the call with a JWT by the client of a line, "" without one."""
    return next((each["state"] for each in lines if each["client"] == line["client"]), "")


def _failed(lines: Sequence[Line]) -> list[Line]:
    return [line | {"call": f"{line['call']}{BY_JWT}"} for line in lines if line["state"] == "failed"]


if __name__ == "__main__":
    raise SystemExit(main())
