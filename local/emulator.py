"""The AWS emulator of one stack: MiniStack from .venv-local, on the loopback address, its state under the home.

Knows nothing of Glossa; swapped by rewriting this file. What it lacks is listed in docs/emulator.md.
"""

from __future__ import annotations

import os
import shutil
import time
import urllib.error
import urllib.request

from local import processes
from local.ports import BLOCK, ports
from local.workspace import Workspace, read_json, write_json

NAME = "emulator"
REGION = "us-east-1"
START_S = 60.0
# Any name without digits gives account 000000000000, which no real account has.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}


def endpoint(workspace: Workspace) -> str:
    """Return the address of every AWS API of this stack."""
    return f"http://127.0.0.1:{ports(workspace).emulator}"


def start(workspace: Workspace) -> str:
    """Start the emulator unless it runs; return its address once it answers.

    Raises RuntimeError with the end of its log when it ends, or does not answer within 60 s, and where what it kept
    has another port.
    """
    if processes.alive(workspace, NAME) is None:
        _check_port(workspace)
        temporary = workspace.state / "tmp"  # handlers' unpacked code; an unclean end leaves it
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        command = [workspace.python(".venv-local").with_name("ministack")]
        processes.start(workspace, NAME, command, _environment(workspace), cwd=workspace.state)
    ends_at = time.monotonic() + START_S
    while time.monotonic() < ends_at and processes.alive(workspace, NAME) is not None:
        if healthy(workspace):
            return endpoint(workspace)
        time.sleep(0.1)
    raise RuntimeError(f"the emulator does not answer at {endpoint(workspace)}:\n{processes.tail(workspace, NAME)}")


def stop(workspace: Workspace) -> bool:
    """End the emulator of this place; return whether one ran."""
    return processes.stop(workspace, NAME)


def healthy(workspace: Workspace) -> bool:
    """Say whether the emulator answers its health check."""
    try:
        with urllib.request.urlopen(endpoint(workspace) + "/_ministack/health", timeout=2) as reply:  # noqa: S310 - http on loopback
            return bool(reply.status == 200)  # noqa: PLR2004 - HTTP's own
    except (urllib.error.URLError, OSError):
        return False


def _check_port(workspace: Workspace) -> None:
    """Refuse a port other than that of what was kept: functions know their queues by it, and jobs would wait on."""
    port, note = ports(workspace).emulator, workspace.state / "port.json"
    kept = read_json(note)
    if kept is not None and kept["emulator"] != port:
        raise RuntimeError(
            f"got port {port} for the emulator, expected {kept['emulator']}: what it kept has that address. End what "
            f"listens on {kept['emulator']} or up to {BLOCK - 1} above, set GLOSSA_PORTS_BASE={kept['emulator']}, or "
            "forget what was kept: `make clean`"
        )
    write_json(note, {"emulator": port})


def _environment(workspace: Workspace) -> dict[str, str]:
    """Return its whole environment: handlers inherit it, so nothing of the caller's leaks in (PYTHONPATH, AWS_*)."""
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
        "IOT_MTLS_ENABLED": "0",  # else it listens on 8883 of every interface
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": f"unix://{state}/no-docker",  # else it removes containers of other MiniStacks at start and end
        "PERSIST_STATE": "1",
        "STATE_DIR": str(state / "services"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(state / "s3"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LAMBDA_WARM_TTL_SECONDS": "60",
        **CREDENTIALS,
    }
