"""Runs background processes of one stack: a file with the pid and a log for each.

It ends only what it started. Another process may have the same pid by now, so the file also holds the start time.
Must not know what the processes do.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from local.workspace import Workspace, read_json, write_json

STOP_S = 20.0
POLL_S = 0.05


def start(workspace: Workspace, name: str, command: Sequence[str | Path], env: Mapping[str, str], cwd: Path) -> int:
    """Start a process in a session of its own, with its output in log/{name}.log; return its pid."""
    with (workspace.log / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [str(word) for word in command], env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    write_json(workspace.run / f"{name}.pid", {"pid": process.pid, "started": _started_s(process.pid)})
    return process.pid


def alive(workspace: Workspace, name: str) -> int | None:
    """Return the pid of a process that we started and that still runs, else None."""
    noted = read_json(workspace.run / f"{name}.pid")
    if noted is None:
        return None
    pid = int(noted["pid"])
    _reap(pid)
    return pid if noted["started"] is not None and _started_s(pid) == noted["started"] else None


def stop(workspace: Workspace, name: str) -> bool:
    """End a process that we started; return whether there was one.

    It gets SIGTERM. If it still runs after 20 s, its whole process group gets SIGKILL.
    """
    pid = alive(workspace, name)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        if not _gone(workspace, name, STOP_S):
            os.killpg(pid, signal.SIGKILL)
            _gone(workspace, name, 2.0)
    (workspace.run / f"{name}.pid").unlink(missing_ok=True)
    return pid is not None


def tail(workspace: Workspace, name: str, n_lines: int = 15) -> str:
    """Return the last lines of a process's log."""
    path = workspace.log / f"{name}.log"
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return "\n".join(text.splitlines()[-n_lines:])


def listeners(pid: int) -> set[tuple[str, int]]:
    """Return (IP address, port) of every TCP socket on which a process listens.

    Raises ProcessLookupError when the process has ended.
    """
    try:
        connections = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.NoSuchProcess as error:
        raise ProcessLookupError(f"got pid {pid}, expected a running process") from error
    return {(each.laddr.ip, each.laddr.port) for each in connections if each.status == psutil.CONN_LISTEN}


def _gone(workspace: Workspace, name: str, within_s: float) -> bool:
    ends_s = time.monotonic() + within_s
    while time.monotonic() < ends_s:
        if alive(workspace, name) is None:
            return True
        time.sleep(POLL_S)
    return False


def _started_s(pid: int) -> float | None:
    """Return when a running process started, in seconds since the machine did; None when it does not run.

    A clock that is set anew moves both times that are subtracted here, so the difference stays.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return round(process.create_time() - psutil.boot_time(), 2)
    except psutil.NoSuchProcess:
        return None


def _reap(pid: int) -> None:
    """Collect the exit status of an ended child of this process; do nothing for other processes."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
