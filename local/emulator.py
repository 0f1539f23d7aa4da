"""Starts and ends the AWS emulator of one stack: MiniStack from .venv-local, on 127.0.0.1.

Its state lies in the workspace. docs/emulator.md lists what MiniStack lacks, and who else knows it. Must not know
Glossa.
"""

from __future__ import annotations

import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from local import processes
from local.ports import BLOCK, ports
from local.workspace import Workspace, read_json, write_json

NAME = "emulator"
# The root of the checkout is on the path of this process alone. Functions must not see it.
PROGRAM = "import sys; sys.path.append(sys.argv.pop()); from local.authorization.server import main; main()"
REGION = "us-east-1"
START_S = 60.0
MAX_WORKERS = 16  # processes of one function; each takes 60 to 105 MB
# A key without digits gives account 000000000000, which no real account has.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}


def endpoint(workspace: Workspace) -> str:
    """Return the address at which this stack's emulator answers for every AWS service."""
    return f"http://127.0.0.1:{ports(workspace).emulator}"


def start(workspace: Workspace) -> str:
    """Start the emulator unless it runs; return its address when it answers.

    Raises RuntimeError with the end of its log when it ends or does not answer within 60 s. Raises RuntimeError also
    when its stored state was made at another port.
    """
    if processes.alive(workspace, NAME) is None:
        _check_port(workspace)
        temporary = workspace.state / "tmp"  # holds unpacked code of functions; a killed emulator leaves it behind
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        command: list[str | Path] = [workspace.python(".venv-local"), "-P", "-c", PROGRAM, str(workspace.root)]
        processes.start(workspace, NAME, command, _environment(workspace), cwd=workspace.state)
    ends_at = time.monotonic() + START_S
    while time.monotonic() < ends_at and processes.alive(workspace, NAME) is not None:
        if healthy(workspace):
            return endpoint(workspace)
        time.sleep(0.1)
    raise RuntimeError(f"the emulator does not answer at {endpoint(workspace)}:\n{processes.tail(workspace, NAME)}")


def stop(workspace: Workspace) -> bool:
    """End the emulator of this workspace; return whether one ran."""
    return processes.stop(workspace, NAME)


def max_workers(environment: Mapping[str, str]) -> int:
    """Return how many processes a function may have: GLOSSA_LOCAL_WORKERS, else MAX_WORKERS. Raises RuntimeError."""
    given = environment.get("GLOSSA_LOCAL_WORKERS", str(MAX_WORKERS))
    if not (given.isascii() and given.isdigit() and int(given) > 0):
        raise RuntimeError(f"got GLOSSA_LOCAL_WORKERS={given!r}, expected a whole number from 1")
    return int(given)


def calls_file(workspace: Workspace) -> Path:
    """Return the file that gets a line for each AWS call of a function, if it exists when the emulator starts."""
    return workspace.log / "calls.jsonl"


def healthy(workspace: Workspace) -> bool:
    """Return whether the emulator answers its health check."""
    try:
        with urllib.request.urlopen(endpoint(workspace) + "/_ministack/health", timeout=2) as reply:  # noqa: S310 - http on loopback
            return bool(reply.status == 200)  # noqa: PLR2004 - HTTP's code for success
    except (urllib.error.URLError, OSError):
        return False


def _check_port(workspace: Workspace) -> None:
    """Raise RuntimeError when the stored state was made at another port.

    The address of a queue contains the port, and deployed functions know their queues by that address. At another port
    their jobs would wait for ever.
    """
    port, note = ports(workspace).emulator, workspace.state / "port.json"
    kept = read_json(note)
    if kept is not None and kept["emulator"] != port:
        raise RuntimeError(
            f"got port {port} for the emulator, expected {kept['emulator']}: its stored state has that address. End "
            f"what listens on ports {kept['emulator']} to {kept['emulator'] + BLOCK - 1}, or set "
            f"GLOSSA_PORTS_BASE={kept['emulator']}, or remove the stored state with `make clean`"
        )
    write_json(note, {"emulator": port})


def _environment(workspace: Workspace) -> dict[str, str]:
    """Return the whole environment of the emulator.

    Functions inherit it, so it takes nothing else from the caller, such as PYTHONPATH or AWS_PROFILE.
    """
    state = workspace.state
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(state),
        "TMPDIR": str(state / "tmp"),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(ports(workspace).emulator),
        "MINISTACK_REGION": REGION,
        "LOG_LEVEL": "WARNING",
        "AUTH": "true",  # functions run under their roles
        "IOT_MTLS_ENABLED": "0",  # otherwise it listens on port 8883 of every interface
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": f"unix://{state}/no-docker",  # otherwise it removes other MiniStacks' containers
        "PERSIST_STATE": "1",
        "STATE_DIR": str(state / "services"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(state / "s3"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LAMBDA_WARM_TTL_SECONDS": "60",
        "EMULATOR_MAX_WORKERS": str(max_workers(os.environ)),
        **({"EMULATOR_CALLS_FILE": str(calls)} if (calls := calls_file(workspace)).exists() else {}),
        **CREDENTIALS,
    }
